"""Solutions that networks are judged by, none of which comes from a network.

exact        closed forms: Navier-Stokes flows, heat, waves, Helmholtz, Burgers
burgers      Burgers from a sine wave, by the Cole-Hopf transformation
allen_cahn   Allen-Cahn from a kinked start, by Fourier series
spectral     two-dimensional Navier-Stokes in a periodic box, by Fourier series
l_shape      the Poisson equation on an L, by particular solutions of the Laplace equation
cavity       the lid-driven cavity, by Chebyshev polynomials and corner singularities; published tables
"""
