"""Ten models and three transformer blocks as their users write them: what the compiler must not slow down.

Each function returns `(loss, args)`. `args[0]` holds the parameters, the only argument that gets a gradient;
the rest is data. `"small"` is for tests; `"bench"` takes 0.05 to 0.5 s for a loss and its gradient on one
core. Libraries are used as installed, without changing a layer. Values come from one key.

>>> loss, args = mlp("small")
>>> loss(*args).shape
()
"""

import math
from collections.abc import Callable
from typing import Any, Literal, cast

import jax
import jax.numpy as jnp
from jax import lax

Array = jax.Array
Size = Literal["small", "bench"]
Loss = Callable[..., Array]
Model = tuple[Loss, tuple[Any, ...]]
Layer = tuple[Array, Array]

KEY = 0
BLOCK_WIDTH = 256
BLOCK_HEADS = 4
BLOCK_KEY_HEADS = 2
DROPOUT = 0.1  # of the library blocks, which run deterministically: it must leave nothing behind


# -- plain jax.numpy ------------------------------------------------------------------------------------


def mlp(size: Size = "small") -> Model:
    """Returns a classifier of flat images: three dense layers with ReLU, cross-entropy."""
    rows, pixels, width = {"small": (8, 12, 16), "bench": (1024, 784, 1024)}[size]
    keys = _keys(3)
    params = _dense_layers(keys[0], (pixels, width, width, 10))
    images = jax.random.normal(keys[1], (rows, pixels))
    labels = jax.random.randint(keys[2], (rows,), 0, 10)

    def loss(params: list[Layer], images: Array, labels: Array) -> Array:
        return _cross_entropy(_dense(params, images, jax.nn.relu), labels)

    return loss, (params, images, labels)


def cnn(size: Size = "small") -> Model:
    """Returns a classifier of small images: three convolutions with pooling, then a dense layer."""
    rows, side, width = {"small": (2, 8, 4), "bench": (32, 32, 32)}[size]
    keys = _keys(4)
    channels = (3, width, 2 * width, 2 * width)
    kernels = [
        _scaled(key, (3, 3, a, b), 9 * a)
        for key, a, b in zip(jax.random.split(keys[0], 3), channels, channels[1:], strict=False)
    ]
    head = _scaled(keys[1], (2 * width, 10), 2 * width)
    images = jax.random.normal(keys[2], (rows, side, side, 3))
    labels = jax.random.randint(keys[3], (rows,), 0, 10)

    def loss(params: Any, images: Array, labels: Array) -> Array:
        x = images
        for kernel, bias in params["convolutions"]:
            x = lax.conv_general_dilated(
                x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
            )
            x = jax.nn.relu(x + bias.reshape(1, 1, 1, -1))
            x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
        return _cross_entropy(jnp.mean(x, axis=(1, 2)) @ params["head"], labels)

    convolutions = [(kernel, jnp.zeros(kernel.shape[-1])) for kernel in kernels]
    return loss, ({"convolutions": convolutions, "head": head}, images, labels)


def moe(size: Size = "small") -> Model:
    """Returns a mixture of experts, two per token, dispatched densely, with a load-balancing loss."""
    tokens, width, experts = {"small": (12, 8, 4), "bench": (1024, 256, 8)}[size]
    keys = _keys(5)
    params = {
        "router": _scaled(keys[0], (width, experts), width),
        "up": _scaled(keys[1], (experts, width, 2 * width), width),
        "down": _scaled(keys[2], (experts, 2 * width, width), 2 * width),
    }
    x, target = (jax.random.normal(key, (tokens, width)) for key in keys[3:])

    def loss(params: dict[str, Array], x: Array, target: Array) -> Array:
        probabilities = jax.nn.softmax(x @ params["router"], axis=-1)
        top, chosen = lax.top_k(probabilities, 2)
        top = top / jnp.sum(top, axis=-1, keepdims=True)
        mask = jax.nn.one_hot(chosen, experts, dtype=x.dtype)
        gates = jnp.einsum("tk,tke->te", top, mask)
        hidden = jax.nn.gelu(jnp.einsum("td,edf->tef", x, params["up"]))
        out = jnp.einsum("tef,efd->ted", hidden, params["down"])
        y = x + jnp.einsum("te,ted->td", gates, out)
        load = jnp.mean(jnp.sum(mask, axis=1), axis=0) * jnp.mean(probabilities, axis=0)
        return jnp.mean((y - target) ** 2) + 0.01 * experts * jnp.sum(load)

    return loss, (params, x, target)


def fno(size: Size = "small") -> Model:
    """Returns a Fourier neural operator on a square grid: four spectral layers with 1x1 skips."""
    rows, side, width, modes = {"small": (2, 8, 4, 3), "bench": (4, 64, 24, 12)}[size]
    keys = _keys(5)
    shape = (4, 2, 2, modes, modes, width, width)  # layer, low or high rows, re or im
    params = {
        "lift": _scaled(keys[0], (3, width), 3),
        "spectral": jax.random.normal(keys[1], shape) / width,
        "skip": _scaled(keys[2], (4, width, width), width),
        "project": _scaled(keys[3], (width, 1), width),
    }
    field = jax.random.normal(keys[4], (rows, side, side, 1))

    def spectral(weights: Array, x: Array) -> Array:
        low, high = (lax.complex(part[0], part[1]) for part in weights)
        full = jnp.fft.rfft2(x, axes=(1, 2))
        out = jnp.zeros_like(full)
        low = jnp.einsum("bxyi,xyio->bxyo", full[:, :modes, :modes], low)
        high = jnp.einsum("bxyi,xyio->bxyo", full[:, -modes:, :modes], high)
        out = out.at[:, :modes, :modes].set(low).at[:, -modes:, :modes].set(high)
        return jnp.fft.irfft2(out, s=x.shape[1:3], axes=(1, 2))

    def loss(params: dict[str, Array], field: Array) -> Array:
        axis = jnp.linspace(0.0, 1.0, side)
        grid = jnp.stack(jnp.meshgrid(axis, axis, indexing="ij"), axis=-1)
        grid = jnp.broadcast_to(grid, (rows, side, side, 2))
        x = jnp.concatenate([field, grid], axis=-1) @ params["lift"]
        for weights, skip in zip(params["spectral"], params["skip"], strict=True):
            x = jax.nn.gelu(spectral(weights, x) + x @ skip)
        error = x @ params["project"] - field**2
        return jnp.sqrt(jnp.sum(error**2) / jnp.sum(field**4))

    return loss, (params, field)


def pinn(size: Size = "small") -> Model:
    """Returns the residual loss of Burgers' equation u_t + u u_x = nu u_xx, with nested `jax.grad`."""
    points, width, layers = {"small": (6, 8, 2), "bench": (4096, 64, 4)}[size]
    keys = _keys(3)
    params = _dense_layers(keys[0], (2, *[width] * layers, 1))
    inside = jax.random.uniform(keys[1], (points, 2), minval=-1.0)
    start = jax.random.uniform(keys[2], (points // 2,), minval=-1.0)

    def loss(params: list[Layer], inside: Array, start: Array) -> Array:
        def u(t: Array, x: Array) -> Array:
            return _dense(params, jnp.stack([t, x]), jnp.tanh)[0]

        def residual(t: Array, x: Array) -> Array:
            u_t, u_x = jax.grad(u, (0, 1))(t, x)
            u_xx = jax.grad(jax.grad(u, 1), 1)(t, x)
            return u_t + u(t, x) * u_x - (0.01 / math.pi) * u_xx

        equation = jax.vmap(residual)(inside[:, 0], inside[:, 1])
        initial = jax.vmap(lambda x: u(jnp.zeros_like(x), x))(start) + jnp.sin(math.pi * start)
        return jnp.mean(equation**2) + jnp.mean(initial**2)

    return loss, (params, inside, start)


# -- Equinox --------------------------------------------------------------------------------------------


def gru(size: Size = "small") -> Model:
    """Returns a recurrent regressor: `eqx.nn.GRUCell` under `lax.scan`, mapped over the batch."""
    import equinox as eqx

    rows, steps, width = {"small": (3, 5, 6), "bench": (128, 64, 192)}[size]
    keys = _keys(4)
    model = {
        "cell": eqx.nn.GRUCell(8, width, key=keys[0]),
        "head": eqx.nn.Linear(width, 1, key=keys[1]),
    }
    params, static = eqx.partition(model, eqx.is_inexact_array)
    x = jax.random.normal(keys[2], (rows, steps, 8))
    target = jax.random.normal(keys[3], (rows,))

    def loss(params: Any, x: Array, target: Array) -> Array:
        model = eqx.combine(params, static)

        def last(sequence: Array) -> Array:
            def step(state: Array, value: Array) -> tuple[Array, None]:
                return model["cell"](value, state), None

            state, _ = lax.scan(step, jnp.zeros(width), sequence)
            return model["head"](state)[0]

        return jnp.mean((jax.vmap(last)(x) - target) ** 2)

    return loss, (params, x, target)


def vit(size: Size = "small") -> Model:
    """Returns a vision transformer: patches, class token, Equinox layers, a batch by `vmap`."""
    import equinox as eqx

    rows, side, patch, width, depth = {"small": (2, 8, 4, 8, 1), "bench": (8, 32, 4, 128, 4)}[size]
    keys = _keys(6)
    tokens = (side // patch) ** 2
    model = {
        "embed": eqx.nn.Linear(3 * patch**2, width, key=keys[0]),
        "class": jnp.zeros((1, width)),
        "position": 0.02 * jax.random.normal(keys[1], (tokens + 1, width)),
        "blocks": [_equinox_layers(key, width, 4) for key in jax.random.split(keys[2], depth)],
        "norm": eqx.nn.LayerNorm(width),
        "head": eqx.nn.Linear(width, 10, key=keys[3]),
    }
    params, static = eqx.partition(model, eqx.is_inexact_array)
    images = jax.random.normal(keys[4], (rows, 3, side, side))
    labels = jax.random.randint(keys[5], (rows,), 0, 10)

    def loss(params: Any, images: Array, labels: Array) -> Array:
        model = eqx.combine(params, static)

        def logits(image: Array) -> Array:
            grid = image.reshape(3, side // patch, patch, side // patch, patch)
            x = jax.vmap(model["embed"])(grid.transpose(1, 3, 0, 2, 4).reshape(tokens, -1))
            x = jnp.concatenate([model["class"], x]) + model["position"]
            for block in model["blocks"]:
                x = _run_equinox(block, x, None)
            return model["head"](model["norm"](x[0]))

        return _cross_entropy(jax.vmap(logits)(images), labels)

    return loss, (params, images, labels)


def equinox_block(length: int, layers: int, width: int = BLOCK_WIDTH) -> Model:
    """Returns `layers` causal pre-norm blocks of Equinox's layers on one sequence of `length` tokens."""
    import equinox as eqx

    keys = _keys(3)

    @eqx.filter_jit
    def make(key: Array) -> Any:
        return [
            _equinox_layers(k, width, BLOCK_HEADS, DROPOUT) for k in jax.random.split(key, layers)
        ]

    model = eqx.nn.inference_mode(make(keys[0]))
    params, static = eqx.partition(model, eqx.is_inexact_array)
    x, target = (jax.random.normal(key, (1, length, width)) for key in keys[1:])

    def loss(params: Any, x: Array, target: Array) -> Array:
        model = eqx.combine(params, static)
        mask = jnp.tril(jnp.ones((length, length), bool))

        def run(x: Array) -> Array:
            for block in model:
                x = _run_equinox(block, x, mask)
            return x

        return jnp.mean((jax.vmap(run)(x) - target) ** 2)

    return loss, (params, x, target)


def _equinox_layers(key: Array, width: int, heads: int, dropout: float = 0.0) -> dict[str, Any]:
    import equinox as eqx

    k1, k2 = jax.random.split(key)
    return {
        "norm": eqx.nn.LayerNorm(width),
        "attention": eqx.nn.MultiheadAttention(heads, width, dropout_p=dropout, key=k1),
        "mlp_norm": eqx.nn.LayerNorm(width),
        "mlp": eqx.nn.MLP(width, width, 4 * width, 1, jax.nn.gelu, key=k2),
        "dropout": eqx.nn.Dropout(dropout),
    }


def _run_equinox(block: dict[str, Any], x: Array, mask: Array | None) -> Array:
    y = jax.vmap(block["norm"])(x)
    x = x + block["dropout"](block["attention"](y, y, y, mask=mask))
    y = jax.vmap(block["mlp"])(jax.vmap(block["mlp_norm"])(x))
    return x + block["dropout"](y)


# -- Flax -----------------------------------------------------------------------------------------------


def vae(size: Size = "small") -> Model:
    """Returns a variational autoencoder in Flax NNX; its key is an argument, its target the input."""
    from flax import nnx

    rows, pixels, width, latent = {"small": (4, 12, 8, 3), "bench": (1024, 784, 512, 32)}[size]
    keys = _keys(3)
    rngs = nnx.Rngs(params=keys[0])
    model = nnx.Dict(
        encode=nnx.Linear(pixels, width, rngs=rngs),
        mean=nnx.Linear(width, latent, rngs=rngs),
        log_variance=nnx.Linear(width, latent, rngs=rngs),
        hidden=nnx.Linear(latent, width, rngs=rngs),
        decode=nnx.Linear(width, pixels, rngs=rngs),
    )
    structure, params = nnx.split(model)
    images = jax.random.uniform(keys[1], (rows, pixels))

    def loss(params: Any, images: Array, key: Array) -> Array:
        import optax

        model = nnx.merge(structure, params)
        hidden = nnx.relu(model.encode(images))
        mean, log_variance = model.mean(hidden), model.log_variance(hidden)
        noise = jax.random.normal(key, mean.shape)
        z = mean + jnp.exp(0.5 * log_variance) * noise
        logits = model.decode(nnx.relu(model.hidden(z)))
        seen = jnp.sum(optax.sigmoid_binary_cross_entropy(logits, images), axis=-1)
        divergence = jnp.sum(jnp.exp(log_variance) + mean**2 - 1 - log_variance, axis=-1)
        return jnp.mean(seen + 0.5 * divergence)

    return loss, (params, images, keys[2])


def unet(size: Size = "small") -> Model:
    """Returns a denoiser in Flax linen: two levels of convolutions down and up, joined by skips."""
    from flax import linen as nn

    rows, side, width = {"small": (1, 8, 4), "bench": (4, 32, 32)}[size]

    class Double(nn.Module):
        width: int

        @nn.compact
        def __call__(self, x: Array) -> Array:
            for _ in range(2):
                x = nn.Conv(self.width, (3, 3))(x)
                x = nn.silu(nn.GroupNorm(num_groups=4)(x))
            return x

    class UNet(nn.Module):
        @nn.compact
        def __call__(self, x: Array) -> Array:
            skips = []
            for level in range(2):
                x = Double(width * 2**level)(x)
                skips.append(x)
                x = nn.max_pool(x, (2, 2), strides=(2, 2))
            x = Double(width * 4)(x)
            for level in (1, 0):
                x = nn.ConvTranspose(width * 2**level, (2, 2), strides=(2, 2))(x)
                x = Double(width * 2**level)(jnp.concatenate([x, skips[level]], axis=-1))
            return nn.Conv(1, (1, 1))(x)

    keys = _keys(3)
    clean, noise = (jax.random.normal(key, (rows, side, side, 1)) for key in keys[1:])
    model = UNet()
    params = jax.jit(model.init)(keys[0], clean)

    def loss(params: Any, clean: Array, noise: Array) -> Array:
        found = cast(Array, model.apply(params, clean + 0.5 * noise))
        return jnp.mean((found - noise) ** 2)

    return loss, (params, clean, noise)


def transformer(size: Size = "small") -> Model:
    """Returns a causal language model of Flax linen's layers, with optax's cross-entropy."""
    from flax import linen as nn

    rows, length, width, layers, words = {
        "small": (2, 6, 8, 1, 11),
        "bench": (4, 128, 160, 4, 512),
    }[size]
    block = _flax_block_class()

    class LanguageModel(nn.Module):
        @nn.compact
        def __call__(self, tokens: Array) -> Array:
            embed = nn.Embed(words, width)
            place = self.param("place", nn.initializers.normal(0.02), (1, length, width))
            x = embed(tokens) + place
            mask = nn.make_causal_mask(tokens)
            for _ in range(layers):
                x = block(4)(x, mask)
            return embed.attend(nn.LayerNorm()(x))

    keys = _keys(2)
    tokens = jax.random.randint(keys[1], (rows, length + 1), 0, words)
    model = LanguageModel()
    params = jax.jit(model.init)(keys[0], tokens[:, :-1])

    def loss(params: Any, tokens: Array) -> Array:
        import optax

        logits = cast(Array, model.apply(params, tokens[:, :-1]))
        return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, tokens[:, 1:]))

    return loss, (params, tokens)


def flax_block(length: int, layers: int, width: int = BLOCK_WIDTH) -> Model:
    """Returns `layers` causal pre-norm blocks of Flax linen's layers on one sequence of `length` tokens."""
    from flax import linen as nn

    block = _flax_block_class()

    class Stack(nn.Module):
        @nn.compact
        def __call__(self, x: Array) -> Array:
            mask = nn.make_causal_mask(x[..., 0])
            for _ in range(layers):
                x = block(BLOCK_HEADS, DROPOUT)(x, mask)
            return x

    keys = _keys(3)
    x, target = (jax.random.normal(key, (1, length, width)) for key in keys[1:])
    model = Stack()
    params = jax.jit(model.init)(keys[0], x[:, :2])  # no parameter depends on the length

    def loss(params: Any, x: Array, target: Array) -> Array:
        return jnp.mean((cast(Array, model.apply(params, x)) - target) ** 2)

    return loss, (params, x, target)


def _flax_block_class() -> Any:
    from flax import linen as nn

    class Block(nn.Module):
        heads: int
        dropout: float = 0.0

        @nn.compact
        def __call__(self, x: Array, mask: Array) -> Array:
            width = x.shape[-1]
            attention = nn.MultiHeadDotProductAttention(
                self.heads, dropout_rate=self.dropout, deterministic=True
            )
            y = attention(nn.LayerNorm()(x), mask=mask)
            x = x + nn.Dropout(self.dropout, deterministic=True)(y)
            y = nn.Dense(width)(nn.gelu(nn.Dense(4 * width)(nn.LayerNorm()(x))))
            return x + nn.Dropout(self.dropout, deterministic=True)(y)

    return Block


# -- a transformer block by hand ------------------------------------------------------------------------


def handwritten_block(length: int, layers: int, width: int = BLOCK_WIDTH) -> Model:
    """Returns `layers` causal blocks in `jax.numpy`: RMS norm, grouped-head attention, SwiGLU."""
    keys = _keys(3)
    params = [_handwritten_weights(key, width) for key in jax.random.split(keys[0], layers)]
    x, target = (jax.random.normal(key, (1, length, width)) for key in keys[1:])

    def loss(params: list[dict[str, Array]], x: Array, target: Array) -> Array:
        for weights in params:
            x = x + _grouped_attention(weights, _rms_norm(x, weights["norm"]))
            y = _rms_norm(x, weights["mlp_norm"])
            x = x + (jax.nn.silu(y @ weights["gate"]) * (y @ weights["up"])) @ weights["down"]
        return jnp.mean((x - target) ** 2)

    return loss, (params, x, target)


def _handwritten_weights(key: Array, width: int) -> dict[str, Array]:
    depth = width // BLOCK_HEADS
    shapes = {
        "q": (width, BLOCK_HEADS, depth),
        "k": (width, BLOCK_KEY_HEADS, depth),
        "v": (width, BLOCK_KEY_HEADS, depth),
        "out": (BLOCK_HEADS, depth, width),
        "gate": (width, 4 * width),
        "up": (width, 4 * width),
        "down": (4 * width, width),
    }
    keys = jax.random.split(key, len(shapes))
    found = {
        name: _scaled(k, shape, 4 * width if name == "down" else width)
        for k, (name, shape) in zip(keys, shapes.items(), strict=True)
    }
    return found | {"norm": jnp.ones(width), "mlp_norm": jnp.ones(width)}


def _grouped_attention(weights: dict[str, Array], x: Array) -> Array:
    rows, length, _ = x.shape
    q = jnp.einsum("btd,dhk->bhtk", x, weights["q"])
    k = jnp.einsum("btd,dgk->bgtk", x, weights["k"])
    v = jnp.einsum("btd,dgk->bgtk", x, weights["v"])
    q = q.reshape(rows, BLOCK_KEY_HEADS, -1, length, q.shape[-1])
    scores = jnp.einsum("bgrik,bgjk->bgrij", q, k) / math.sqrt(q.shape[-1])
    visible = jnp.tril(jnp.ones((length, length), bool))
    scores = jnp.where(visible, scores, jnp.finfo(scores.dtype).min)
    mixed = jnp.einsum("bgrij,bgjk->bgrik", jax.nn.softmax(scores, axis=-1), v)
    mixed = mixed.reshape(rows, BLOCK_HEADS, length, -1)
    return jnp.einsum("bhtk,hkd->btd", mixed, weights["out"])


def _rms_norm(x: Array, weight: Array) -> Array:
    scale = lax.rsqrt(jnp.mean(jnp.square(x), axis=-1, keepdims=True) + 1e-6)
    return x * scale * weight.reshape(1, 1, -1)


# -- shared ---------------------------------------------------------------------------------------------


def _keys(count: int) -> Array:
    return jax.random.split(jax.random.key(KEY), count)


def _scaled(key: Array, shape: tuple[int, ...], terms: int) -> Array:
    """Returns normal weights for which a sum of that many terms keeps the size of its input."""
    return jax.random.normal(key, shape) / math.sqrt(terms)


def _dense_layers(key: Array, sizes: tuple[int, ...]) -> list[Layer]:
    keys = jax.random.split(key, len(sizes) - 1)
    pairs = zip(keys, sizes, sizes[1:], strict=False)
    return [(_scaled(k, (a, b), a), jnp.zeros(b)) for k, a, b in pairs]


def _dense(layers: list[Layer], x: Array, activation: Callable[[Array], Array]) -> Array:
    """Returns the last layer's output for one point (n,) or rows of points (rows, n)."""
    for weight, bias in layers[:-1]:
        x = activation(x @ weight + bias.reshape((1,) * (x.ndim - 1) + bias.shape))
    weight, bias = layers[-1]
    return x @ weight + bias.reshape((1,) * (x.ndim - 1) + bias.shape)


def _cross_entropy(logits: Array, labels: Array) -> Array:
    log_p = jax.nn.log_softmax(logits, axis=-1)
    return -jnp.mean(jnp.take_along_axis(log_p, labels[:, None], axis=-1))


MODELS: dict[str, Callable[[Size], Model]] = {
    "MLP": mlp,
    "CNN": cnn,
    "GRU": gru,
    "ViT": vit,
    "MoE": moe,
    "FNO": fno,
    "PINN": pinn,
    "VAE": vae,
    "U-Net": unet,
    "transformer": transformer,
}
BLOCKS: dict[str, Callable[[int, int], Model]] = {
    "Equinox": equinox_block,
    "Flax": flax_block,
    "hand-written": handwritten_block,
}
