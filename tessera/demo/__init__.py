"""The main job: the README example, a flow solved by a physics-informed network, a race of derivatives.

Reading order: kovasznay (the physics), network, levenberg_marquardt (the optimiser), training, quick_example,
comparison, figures, report, main_job.
"""

from tessera.demo.main_job import run

__all__ = ["run"]
