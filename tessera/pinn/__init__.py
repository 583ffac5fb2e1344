"""Physics-informed networks: a network becomes the solution of a differential equation by training.

    problem = pinn.problems.problem("kovasznay")    or a Problem of your own: samplers, terms, a network
    result = pinn.train(problem)                    .model .history .errors
    pinn.plots.fields(problem, result.model)        a figure

    geometry      shapes, of which Box, Ball, Polygon and TimeSlab, joined by | & -
    samplers      Interior  Boundary  Initial  OppositeSides  Fixed; Resample while training
    networks      MLP  ModifiedMLP  FourierFeatures  Factorization
    constraints   Dirichlet  Periodic  Normalized  Chain  stream_function  vector_potential
    optimizers    LevenbergMarquardt  GaussNewton  LBFGS  Adam  AdamW  SOAP  FirstOrder
    weighting     NTK  GradientNorm  SelfAdaptive  Causal
    problems      equations with independent truth; reference has the truth
    evaluate  fields_at  confidence  plots      what came of it

Residuals are written with the Fields of `tessera.pde`. Reading order: problem, sampling, networks, residuals,
optimizers, training, problems/kovasznay.py.
"""

from tessera.pinn import geometry as geometry
from tessera.pinn import plots as plots
from tessera.pinn import problems as problems
from tessera.pinn import reference as reference
from tessera.pinn.checkpoint import Checkpoint as Checkpoint
from tessera.pinn.constraints import Chain as Chain
from tessera.pinn.constraints import Dirichlet as Dirichlet
from tessera.pinn.constraints import Normalized as Normalized
from tessera.pinn.constraints import Periodic as Periodic
from tessera.pinn.constraints import stream_function as stream_function
from tessera.pinn.constraints import vector_potential as vector_potential
from tessera.pinn.evaluation import evaluate as evaluate
from tessera.pinn.evaluation import fields_at as fields_at
from tessera.pinn.geometry import Ball as Ball
from tessera.pinn.geometry import Box as Box
from tessera.pinn.geometry import Disc as Disc
from tessera.pinn.geometry import Interval as Interval
from tessera.pinn.geometry import Polygon as Polygon
from tessera.pinn.geometry import Rectangle as Rectangle
from tessera.pinn.geometry import TimeSlab as TimeSlab
from tessera.pinn.geometry import l_shape as l_shape
from tessera.pinn.networks import MLP as MLP
from tessera.pinn.networks import Factorization as Factorization
from tessera.pinn.networks import FourierFeatures as FourierFeatures
from tessera.pinn.networks import ModifiedMLP as ModifiedMLP
from tessera.pinn.optimizers import LBFGS as LBFGS
from tessera.pinn.optimizers import SOAP as SOAP
from tessera.pinn.optimizers import Adam as Adam
from tessera.pinn.optimizers import AdamW as AdamW
from tessera.pinn.optimizers import FirstOrder as FirstOrder
from tessera.pinn.optimizers import GaussNewton as GaussNewton
from tessera.pinn.optimizers import LevenbergMarquardt as LevenbergMarquardt
from tessera.pinn.problem import Problem as Problem
from tessera.pinn.problem import Sample as Sample
from tessera.pinn.problem import Term as Term
from tessera.pinn.resampling import Resample as Resample
from tessera.pinn.sampling import Boundary as Boundary
from tessera.pinn.sampling import Fixed as Fixed
from tessera.pinn.sampling import Initial as Initial
from tessera.pinn.sampling import Interior as Interior
from tessera.pinn.sampling import OppositeSides as OppositeSides
from tessera.pinn.training import Record as Record
from tessera.pinn.training import Result as Result
from tessera.pinn.training import train as train
from tessera.pinn.uncertainty import confidence as confidence
from tessera.pinn.weighting import NTK as NTK
from tessera.pinn.weighting import Causal as Causal
from tessera.pinn.weighting import GradientNorm as GradientNorm
from tessera.pinn.weighting import SelfAdaptive as SelfAdaptive
