"""Figures of problems and of models that learn them, as figures of matplotlib.

    fields      network, truth and their difference
    residuals   where the equations do not hold yet
    spectra     which wave numbers are not learned yet
    flow        streamlines over the speed, isobars over the pressure
    history     loss, residuals and true errors, by iteration and by second
    save        a figure into a file

They are drawn by Agg without pyplot: no display and no global state. matplotlib is an extra, loaded by what
draws. Reading order: style, section, then one file for each kind of figure.
"""

from tessera.pinn.plots.histories import history as history
from tessera.pinn.plots.maps import fields as fields
from tessera.pinn.plots.maps import residuals as residuals
from tessera.pinn.plots.streamlines import flow as flow
from tessera.pinn.plots.style import save as save
from tessera.pinn.plots.wave_numbers import spectra as spectra
