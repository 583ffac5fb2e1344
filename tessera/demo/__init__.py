"""The main job: the README example, a flow solved by a physics-informed network, a race of derivatives.

Reading order: settings, quick_example, training, comparison, report, main_job. The network, its training and
the figures are those of `tessera.pinn`.
"""

from tessera.demo.main_job import run

__all__ = ["run"]
