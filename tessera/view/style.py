"""Colours and style sheets of the picture and of the page, for light and dark backgrounds."""

from collections.abc import Mapping

# What stands on what: `fuse` fills a box, `fuse-line` draws its edge, and so for every kind.
LIGHT: Mapping[str, str] = {
    "paper": "#ffffff",
    "ink": "#1f2328",
    "soft": "#59636e",
    "line": "#d1d9e0",
    "arrow": "#8b949e",
    "bar": "#b6d4fe",
    "fuse": "#dbeafe",
    "fuse-line": "#2563eb",
    "pipeline": "#ede4ff",
    "pipeline-line": "#7c3aed",
    "xla": "#f3f4f6",
    "xla-line": "#9aa4af",
    "collective": "#ffedd5",
    "collective-line": "#c2570c",
    "frame": "#f8fafc",
    "good": "#1a7f37",
    "stop": "#9a6700",
}
DARK: Mapping[str, str] = {
    "paper": "#15191f",
    "ink": "#e6edf3",
    "soft": "#9da7b1",
    "line": "#343b45",
    "arrow": "#7d8792",
    "bar": "#264a7a",
    "fuse": "#16315c",
    "fuse-line": "#6ea8fe",
    "pipeline": "#35235e",
    "pipeline-line": "#b794f6",
    "xla": "#242a32",
    "xla-line": "#6b7683",
    "collective": "#4a2a10",
    "collective-line": "#f0a35e",
    "frame": "#1a2028",
    "good": "#56d364",
    "stop": "#e3b341",
}
KINDS = ("fuse", "pipeline", "xla", "collective")


def variables(colours: Mapping[str, str]) -> str:
    """Returns colours as CSS custom properties."""
    return "".join(f"--ts-{name}:{value};" for name, value in colours.items())


STYLE = (
    ".ts-svg text{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace;"
    "font-size:11px;fill:var(--ts-ink)}"
    ".ts-svg .ts-head{font-weight:600}.ts-svg .ts-op{font-weight:600;fill:var(--ts-op,var(--ts-ink))}"
    ".ts-svg .ts-soft{fill:var(--ts-soft)}"
    ".ts-svg .ts-type{font-size:9.5px;fill:var(--ts-soft);stroke:var(--ts-paper);stroke-width:3px;"
    "paint-order:stroke;text-anchor:middle}"
    ".ts-svg .ts-in .ts-type{stroke:var(--ts-frame)}"
    ".ts-svg .ts-mid{text-anchor:middle}"
    ".ts-svg .ts-arrow{fill:none;stroke:var(--ts-arrow);stroke-width:1.3px}"
    ".ts-svg .ts-tip{fill:var(--ts-arrow)}"
    ".ts-svg .ts-pill{fill:var(--ts-paper);stroke:var(--ts-arrow)}"
    ".ts-svg .ts-frame{fill:var(--ts-frame);stroke:var(--ts-arrow);stroke-dasharray:5 4}"
    + "".join(
        f".ts-svg .ts-{kind}{{fill:var(--ts-{kind});stroke:var(--ts-{kind}-line);stroke-width:1.4px}}"
        for kind in KINDS
    )
)

# The same as attributes, for viewers that drop style sheets: light colours.
_TEXT = f' fill="{LIGHT["soft"]}"'
PLAIN: Mapping[str, str] = {
    "ts-svg": ' font-family="monospace" font-size="11"',
    "ts-head": ' font-weight="600"',
    "ts-op": ' font-weight="600"',
    "ts-soft": _TEXT,
    "ts-type": f'{_TEXT} font-size="9.5" text-anchor="middle"',
    "ts-mid": ' text-anchor="middle"',
    "ts-arrow": f' fill="none" stroke="{LIGHT["arrow"]}"',
    "ts-tip": f' fill="{LIGHT["arrow"]}"',
    "ts-pill": f' fill="{LIGHT["paper"]}" stroke="{LIGHT["arrow"]}"',
    "ts-frame": f' fill="{LIGHT["frame"]}" stroke="{LIGHT["arrow"]}" stroke-dasharray="5 4"',
    **{f"ts-{kind}": f' fill="{LIGHT[kind]}" stroke="{LIGHT[f"{kind}-line"]}"' for kind in KINDS},
}

# The host says which theme it shows; where it does not, the screen's setting counts.
_DARK_HOSTS = (
    '[data-jp-theme-light="false"] .ts-explain',
    ".vscode-dark .ts-explain",
    'html[theme="dark"] .ts-explain',
)
_LIGHT_HOSTS = (
    '[data-jp-theme-light="true"] .ts-explain',
    ".vscode-light .ts-explain",
    'html[theme="light"] .ts-explain',
)
CSS = (
    f".ts-explain{{{variables(LIGHT)}}}"
    f"@media(prefers-color-scheme:dark){{.ts-explain{{{variables(DARK)}}}}}"
    f"{','.join(_LIGHT_HOSTS)}{{{variables(LIGHT)}}}"
    f"{','.join(_DARK_HOSTS)}{{{variables(DARK)}}}"
    ".ts-explain{background:var(--ts-paper);color:var(--ts-ink);border:1px solid var(--ts-line);"
    "border-radius:8px;padding:14px 18px;font:13px/1.5 system-ui,-apple-system,'Segoe UI',sans-serif;"
    "max-width:100%;box-sizing:border-box}"
    ".ts-explain h3{margin:0 0 2px;font-size:16px;font-weight:600;color:inherit}"
    ".ts-explain h4{margin:16px 0 4px;font-size:13px;font-weight:600;color:inherit}"
    ".ts-explain p{margin:2px 0;color:var(--ts-soft)}"
    ".ts-explain .ts-figures{display:flex;flex-wrap:wrap;gap:4px 26px;margin:8px 0}"
    ".ts-explain .ts-figures b{display:block;font-size:15px;font-weight:600;color:var(--ts-ink)}"
    ".ts-explain .ts-figures span{color:var(--ts-soft);font-size:12px}"
    ".ts-explain .ts-legend span{display:inline-block;margin-right:18px;font-size:12px;"
    "color:var(--ts-soft)}"
    ".ts-explain .ts-legend i{display:inline-block;width:11px;height:11px;border-radius:3px;"
    "margin-right:6px;vertical-align:-1px;border:1.4px solid}"
    ".ts-explain .ts-scroll{overflow:auto;max-height:1200px;margin:8px 0;border:1px solid var(--ts-line);"
    "border-radius:6px}"
    ".ts-explain .ts-rows{border:0}"
    ".ts-explain svg{display:block;margin:0 auto}"
    # Jupyter styles every table and every piece of code in an output, with selectors stronger than these.
    ".ts-explain table{border-collapse:collapse;font-size:12px!important;margin:0!important;width:100%;"
    "color:inherit;background:transparent;table-layout:auto!important}"
    ".ts-explain thead{border-bottom:1px solid var(--ts-line)!important}"
    ".ts-explain tr{background:transparent!important;color:inherit!important}"
    ".ts-explain th,.ts-explain td{text-align:left!important;vertical-align:top!important;"
    "padding:4px 10px 4px 0!important;border:0!important;"
    "border-bottom:1px solid var(--ts-line)!important;white-space:normal!important;max-width:none!important}"
    ".ts-explain th{font-weight:600;color:var(--ts-soft);white-space:nowrap!important}"
    ".ts-explain .ts-n{text-align:right!important;white-space:nowrap!important;"
    "font-variant-numeric:tabular-nums}"
    ".ts-explain .ts-time{white-space:nowrap!important;min-width:96px;font-variant-numeric:tabular-nums}"
    ".ts-explain .ts-bar{height:4px;border-radius:2px;background:var(--ts-bar);margin-top:2px}"
    ".ts-explain .ts-why{color:var(--ts-soft);min-width:230px}"
    ".ts-explain code,.ts-explain summary{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"
    "'DejaVu Sans Mono',monospace;font-size:11.5px;color:inherit!important;"
    "background:none!important;padding:0!important;border:0}"
    ".ts-explain summary{cursor:pointer}"
    ".ts-explain details ul{margin:2px 0 4px;padding-left:30px;color:var(--ts-soft)}"
    ".ts-explain ul.ts-list{margin:0;padding-left:18px}"
    ".ts-explain ul.ts-list li{margin:1px 0}"
    ".ts-explain .ts-good{color:var(--ts-good)}.ts-explain .ts-stop{color:var(--ts-stop)}"
    ".ts-explain .ts-b{font-weight:600}"
) + STYLE
