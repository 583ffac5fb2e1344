"""Portable functions made of those of `portable_oracle`: inverse, hyperbolic, gamma functions, remainder."""

import numpy as np
import portable_oracle as oracle
from portable_oracle import horner, linear_below, quiet

ATAN = {
    np.float32: [
        *(-0.333333, 0.1999853, -0.14264016, 0.109508775, -0.0839928, 0.057880502, -0.031095523),
        *(0.0108675165, -0.001782458),
    ],
    np.float64: [
        *(-0.3333333333333307, 0.19999999999951765, -0.14285714282586023, 0.11111111007186071),
        *(-0.0909090700350679, 0.07692279823008129, -0.06666403770440654, 0.05880525312558385),
        *(-0.052535042859160254, 0.0472226420509952, -0.04219003928263043, 0.03663791161294491),
        *(-0.029896873727009537, 0.02197552306975515, -0.013891099866617206),
        *(0.007189349235442616, -0.0028810105125279535, 0.0008298652155896141),
        *(-0.00015182941615381193, 1.319034844189829e-05),
    ],
}
ASIN = {
    np.float32: [
        *(0.16666752, 0.074953094, 0.04546915, 0.024184795, 0.042158324),
    ],
    np.float64: [
        *(0.1666666666666541, 0.0750000000033664, 0.0446428568285012, 0.030381959135163884),
        *(0.022371757986225215, 0.017359706986188054, 0.013885204647329471),
        *(0.012169451382228556, 0.006526853623419266, 0.019531392515351492, -0.0162290304871028),
        0.031915337280762755,
    ],
}
SINH = {
    np.float32: [
        *(0.16666667, 0.0083333105, 0.00019842896, 2.7822118e-06),
    ],
    np.float64: [
        *(0.16666666666666666, 0.008333333333333573, 0.0001984126984106116),
        *(2.755731931009711e-06, 2.505208940593444e-08, 1.606134130852089e-10),
        *(7.503006720998626e-13, 6.485990768311896e-15),
    ],
}
CBRT = [
    *(0.44714072, 0.95010114, -0.6661798, 0.38536444, -0.14447074, 0.030903973, -0.002859593),
]
LOG_FACTORIAL = {
    np.float32: [
        *(0.48312896, -0.1459599, 0.06291105, -0.031308003, 0.016808258, -0.009436367),
        *(0.0053249677, -0.003116459, 0.0024487975, -0.0015255491),
    ],
    np.float64: [
        *(0.4831289505409809, -0.14595989591430594, 0.06291140107456435, -0.03130848750105422),
        *(0.01679709863127968, -0.00942562244476263, 0.005446457838839891),
        *(-0.003212074222757096, 0.0019229163202944067, -0.0011644113398789303),
        *(0.0007115189547394521, -0.00043803554223625777, 0.00027131476909855967),
        *(-0.00016856944643699296, 0.00010534930228553506, -6.794593074756832e-05),
        *(4.304754986994355e-05, -2.1470477653850818e-05, 1.3148502608585739e-05),
        *(-1.8542327277060968e-05, 1.2170103537543289e-05),
    ],
}
LOG_FACTORIAL_FAR = {
    np.float32: [
        *(0.08333318, -0.002754763),
    ],
    np.float64: [
        *(0.0833333333333295, -0.0027777777744606913, 0.0007936498002732823),
        *(-0.0005950977555289025, 0.0008314754079102747, -0.0015323267325799339),
    ],
}
PSI = {
    np.float32: [
        *(0.9510559, -0.4236275, 0.24054262, -0.14839877, 0.0949821, -0.062057216, 0.04087909),
        *(-0.025780262, 0.01698149, -0.016385455, 0.011117058),
    ],
    np.float64: [
        *(0.951055876031833, -0.4236274212814606, 0.24054248424077393, -0.1484049230538905),
        *(0.09498872445497822, -0.061922133274663366, 0.040760833810558186),
        *(-0.026975796692499464, 0.017907252487481637, -0.011908219392637824),
        *(0.007926943932379155, -0.0052799466037582775, 0.003519012874921852),
        *(-0.002345417971912901, 0.0015565953900008598, -0.0010368564625618088),
        *(0.0007234500941681415, -0.0004846856294023439, 0.00022700095892187166),
        *(-0.0001470556632289071, 0.0002598704675957922, -0.00017650474197367363),
    ],
}
PSI_FAR = {
    np.float32: [
        *(0.083332576, -0.008219317),
    ],
    np.float64: [
        *(0.08333333333328835, -0.0083333332936214, 0.003968241901716039, -0.004164941635334727),
        *(0.007447993753044827, -0.016232663494379143),
    ],
}
# The zero of psi(1 + t), and what the number lacks.
PSI_ZERO = {
    np.float32: (0.46163213, 1.243815e-08),
    np.float64: (0.46163214496836236, -1.5522348162858677e-17),
}
# Where a piece begins, what is subtracted from w or its root, and the polynomial.
ERF_INV = {
    np.float32: [
        (
            *(0.0, 2.5),
            [
                *(1.5014094, 0.24664022, -0.004177802, -0.0012526073, 0.00021887122),
                *(-5.037504e-06, -3.6963818e-06, 4.8126543e-07, 6.548985e-08, -9.812805e-09),
                -2.6722335e-09,
            ],
        ),
        (
            *(5.0, 3.0),
            [
                *(2.8329768, 1.0016755, 0.00944437, -0.007648096, 0.005697053, -0.0035355855),
                *(0.0014374322, -0.00018836369, -0.00020856457, 0.00020979253, -7.6544246e-05),
            ],
        ),
    ],
    np.float64: [
        (
            *(0.0, 2.5),
            [
                *(1.501409351110792, 0.2466402767441668, -0.0041773177243861394),
                *(-0.0012527079078087872, 0.0002182502643601035, -4.996079606430467e-06),
                *(-3.416619636442427e-06, 4.787252302657674e-07, 1.3416854569410727e-08),
                *(-1.0861178943433925e-08, 9.072658878108341e-10, 1.1961211772646531e-10),
                *(-3.1085296194013556e-11, 9.09916390781384e-13, 5.304324894171933e-13),
                *(-7.579164181715714e-14, -1.8874271121740085e-15, 1.8550256811949784e-15),
                *(-2.544782352416536e-16, -2.3925930082205753e-17, 1.2809408602006205e-17),
                *(8.359016740203663e-20, -2.9760707773698486e-19),
            ],
        ),
        (
            *(5.0, 3.125),
            [
                *(2.958320150240462, 1.0037186917979266, 0.007047884417828892),
                *(-0.005301010608649665, 0.0037944200140072825, -0.002519882686913954),
                *(0.0012606699077695046, -0.0003286622376673778, -8.955352865095754e-05),
                *(0.00013610536920262482, -5.885110321113229e-05, 2.182255511869872e-06),
                *(1.139611907970646e-05, -6.266005641332575e-06, 9.114072946615182e-07),
                *(7.395915440968163e-07, -5.6938524437294e-07, 1.4427359170052424e-07),
                *(6.5762302176211e-08, -5.1504743769850965e-08, -4.149706046760535e-09),
                *(5.189425975575627e-09, 1.7625436282861252e-09),
            ],
        ),
        (
            *(16.0, 5.0),
            [
                *(4.849906401408584, 1.0103004648645446, -0.00013871931839951597),
                *(-0.00021503011978184084, 7.599527886722255e-05, -1.9681771549191724e-05),
                *(4.526040589049234e-06, -9.93022205229428e-07, 2.291475799513921e-07),
                *(-6.758952746509002e-08, 2.858011393527012e-08, -1.5162304385004405e-08),
                *(9.085908268051987e-09, -3.6323073947753455e-09, -1.024504686585469e-09),
                *(-2.6253910031439225e-10, 2.851655632166233e-09, -7.262561304888847e-11),
                *(-2.0734026722613513e-09, 4.2136232557112e-11, 8.560253547097169e-10),
                *(-6.494888098395003e-12, -1.541173932504724e-10),
            ],
        ),
    ],
}


def half_pi(x):
    """pi/2 and what it lacks."""
    dtype = x.dtype.type
    return dtype(np.pi / 2), dtype(oracle.HALF_PI_LACKS[dtype])


def angle(q):
    z = q * q
    return q + (z * horner(ATAN, z)) * q


@quiet
def atan(x):
    half, lacks = half_pi(x)
    size = np.abs(x)
    steep = size > 1
    a = angle(np.where(steep, 1 / size, size))
    y = np.copysign(np.where(steep, half + (lacks - a), a), x)
    return np.where(size < linear_below(x), x, y)


@quiet
def atan2(y, x):
    dtype, (half, lacks) = x.dtype.type, half_pi(x)
    high, wide = np.abs(y), np.abs(x)
    steep, behind = high > wide, np.signbit(x)
    small, large = np.minimum(high, wide), np.maximum(high, wide)
    q = np.where(small == large, dtype(1), oracle.divide(small, large))
    a = angle(np.where(large == 0, dtype(0), q))
    turns = np.select([steep, behind], [dtype(1), dtype(2)], dtype(0))
    a = np.where(steep != behind, -a, a) + turns * lacks
    return np.where(np.isnan(x) | np.isnan(y), x + y, np.copysign(turns * half + a, y))


def arc(x):
    """Where |x| <= 1/2, and s and asin s - s of that or of sqrt((1 - |x|) / 2)."""
    dtype, size = x.dtype.type, np.abs(x)
    near = size <= 0.5
    z = np.where(near, x * x, (dtype(1) - size) / dtype(2))
    s = np.where(near, size, np.sqrt(z))
    return near, s, s * (z * horner(ASIN, z))


@quiet
def asin(x):
    half, lacks = half_pi(x)
    near, s, rest = arc(x)
    return np.copysign(np.where(near, s + rest, half - (2 * s + (2 * rest - lacks))), x)


@quiet
def acos(x):
    half, lacks = half_pi(x)
    near, s, rest = arc(x)
    in_middle = half + (np.copysign(s, -x) + (np.copysign(rest, -x) + lacks))
    behind = 2 * half + (-2 * s + (-2 * rest + 2 * lacks))
    ahead = 2 * s + 2 * rest
    return np.where(near, in_middle, np.where(x < 0, behind, ahead))


@quiet
def sinh(x):
    dtype, size, z = x.dtype.type, np.abs(x), x * x
    near = (z * horner(SINH, z)) * x + x
    half = half_exp(size)
    far = np.copysign(half - oracle.divide(np.full_like(x, 0.25), half), x)
    return np.where(size < dtype(1), near, far)


@quiet
def cosh(x):
    half = half_exp(np.abs(x))
    return half + oracle.divide(np.full_like(x, 0.25), half)


def half_exp(x):
    dtype = x.dtype.type
    highest = {np.float32: 89.415985, np.float64: 710.4758600739439}[dtype]
    y = np.where(x > dtype(highest), dtype(np.inf), oracle.exp_times(x, 1))
    return np.where(np.isnan(x), x, y)


def log_of_twice(x, rest):
    """log(1 + rest), of such x that 1 is lost in them log 2x."""
    dtype = x.dtype.type
    large = x > dtype({np.float32: 2.0**28, np.float64: 2.0**57}[dtype])
    return oracle.log1p(np.where(large, x, rest)) + np.where(large, dtype(np.log(2)), dtype(0))


@quiet
def asinh(x):
    dtype, size, z = x.dtype.type, np.abs(x), x * x
    rest = size + z / (np.sqrt(dtype(1) + z) + dtype(1))
    return np.copysign(log_of_twice(size, rest), x)


@quiet
def acosh(x):
    dtype = x.dtype.type
    t = x - dtype(1)
    rest = t + np.sqrt(t * (t + dtype(2)))
    return np.where(x < 1, dtype(np.nan), log_of_twice(x, rest))


@quiet
def atanh(x):
    dtype, size = x.dtype.type, np.abs(x)
    return np.copysign(oracle.log1p(2 * size / (dtype(1) - size)) / dtype(2), x)


@quiet
def cbrt(x):
    dtype = x.dtype.type
    mantissa, exponent = np.frexp(np.abs(np.where(np.isfinite(x), x, dtype(1))))
    n, j = np.divmod(exponent - 1, 3)
    digits = 2 * mantissa
    t = horner({dtype: CBRT}, digits) * np.choose(j, [dtype(np.cbrt(2.0**k)) for k in range(3)])
    word, cut = {np.float32: (np.uint32, 12), np.float64: (np.uint64, 27)}[dtype]
    t = (t.view(word) >> word(cut) << word(cut)).view(dtype)
    r = np.ldexp(digits, j) / (t * t)
    y = np.copysign(np.ldexp(t + t * ((r - t) / (2 * t + r)), n), x)
    return np.where((x == 0) | ~np.isfinite(x), x, y)


@quiet
def erf_inv(x):
    dtype = x.dtype.type
    w = -oracle.log((dtype(1) - x) * (dtype(1) + x))
    y = np.full_like(x, np.nan)
    for start, center, terms in ERF_INV[dtype]:
        moved = (np.sqrt(w) if start else w) - dtype(center)
        y = np.where(w >= start, horner({dtype: terms}, moved), y)
    return np.where(np.abs(x) == 1, x * dtype(np.inf), oracle.multiply(y, x))


@quiet
def rem(x, y):
    return oracle.flushed(np.fmod(x, y))


def by_one(z):
    """The fraction of z < 7, the product z (z - 1) ... down to 1 and its derivative."""
    dtype, whole = z.dtype.type, np.minimum(np.floor(np.nan_to_num(z)), 6)
    t, product, derivative = z - whole.astype(dtype), np.ones_like(z), np.zeros_like(z)
    for k in range(6):
        factor = z - dtype(k)
        grown = derivative * factor + product, product * factor
        derivative = np.where(k < whole, grown[0], derivative)
        product = np.where(k < whole, grown[1], product)
    return t, product, derivative


def at_whole(x):
    """Sine and cosine of pi times the distance of |x| to the nearest whole number; whether it is above."""
    dtype, size = x.dtype.type, np.abs(x)
    fraction = size - np.floor(size)
    above = fraction > 0.5
    distance = np.where(above, 1 - fraction, fraction)
    steep = distance > 0.25
    r = np.where(steep, dtype(0.5) - distance, distance) * dtype(np.pi)
    sine, cosine = oracle.sine_and_cosine_near_zero(r, np.zeros_like(r))
    return np.where(steep, cosine, sine), np.where(steep, sine, cosine), above


@quiet
def lgamma(x):
    dtype, half, one = x.dtype.type, x.dtype.type(0.5), x.dtype.type(1)
    z = np.where(x < 1, np.abs(x), x - one)
    t, product, _ = by_one(z)
    logarithm = oracle.log(np.where(z < 7, product, z))
    near = (t * (t - one)) * horner(LOG_FACTORIAL, t - half) + logarithm
    inverse = oracle.reciprocal(z)
    rest = inverse * horner(LOG_FACTORIAL_FAR, inverse * inverse)
    rest = (rest + dtype(np.log(2 * np.pi) / 2)) + logarithm * half
    factorial = np.where(z < 7, near, z * (logarithm - one) + rest)
    sine, _, _ = at_whole(x)
    reflected = (dtype(np.log(np.pi)) - oracle.log(sine)) - factorial
    unit = factorial - oracle.log(np.where(x < 1, np.abs(x), one))
    return np.where(np.isinf(x), np.abs(x), np.where(x < 0, reflected, unit))


@quiet
def digamma(x):
    dtype, half, one = x.dtype.type, x.dtype.type(0.5), x.dtype.type(1)
    z = np.where(x < 1, np.abs(x), x - one)
    t, product, derivative = by_one(z)
    zero, lacks = map(dtype, PSI_ZERO[dtype])
    near = ((t - zero) - lacks) * horner(PSI, t - half) + oracle.divide(derivative, product)
    inverse = oracle.reciprocal(z)
    square = inverse * inverse
    far = (oracle.log(z) + inverse * half) - square * horner(PSI_FAR, square)
    sine, cosine, above = at_whole(x)
    cotangent = oracle.divide(np.where(above, -cosine, cosine) * dtype(np.pi), sine)
    cotangent = np.where(sine == 0, dtype(np.nan), cotangent)
    rest = np.where(x < 1, -oracle.reciprocal(x), dtype(0))
    return np.where(z < 7, near, far) + np.where(x < 0, cotangent, rest)
