"""Portable arithmetic in plain NumPy: a rounding per operation, in the order `tessera.core.portable` has.

NumPy neither contracts nor rewrites, and has subnormal numbers; the rule that makes them zero is written out.
Whole numbers are Python's, scaling is `ldexp`, rounding to an integer is `rint`.
"""

import functools
import math

import numpy as np

TINY = {np.float32: np.float32(2.0**-126), np.float64: np.float64(2.0**-1022)}
EXP = {
    np.float32: [0.5, 0.16666515, 0.041666575, 0.008369271, 0.0013924078],
    np.float64: [
        *(
            0.5,
            0.1666666666666667,
            0.04166666666666667,
            0.008333333333326084,
            0.0013888888888883711,
        ),
        *(0.0001984126987500228, 2.480158732567746e-05, 2.755725517000089e-06),
        *(2.755727347871858e-07, 2.5105312729622103e-08, 2.09147553258932e-09),
    ],
}
LOG = {
    np.float32: [0.66666776, 0.39977583, 0.29870796],
    np.float64: [
        *(0.6666666666666734, 0.39999999999416636, 0.2857142874203011, 0.2222219860481604),
        *(0.1818356286478936, 0.15314084484043722, 0.14795636940100693),
    ],
}
TANH = {
    np.float32: [-0.3333332, 0.13332637, -0.053856842, 0.021088235, -0.006295485],
    np.float64: [
        *(-0.333333333333333, 0.1333333333332656, -0.05396825396371566, 0.021869488384309806),
        *(-0.008863232572249975, 0.003592091698671409, -0.0014555404727098647),
        *(0.0005884337128918425, -0.00023335143140416117, 8.326908988677346e-05),
        -1.946270630931395e-05,
    ],
}
SINE = {
    np.float32: [-0.16666655, 0.008332191, -0.00019518599],
    np.float64: [
        *(-0.16666666666666632, 0.008333333333322472, -0.0001984126982983567),
        *(2.7557313697326927e-06, -2.5050758485763578e-08, 1.5896796040173508e-10),
    ],
}
COSINE = {
    np.float32: [0.041666646, -0.0013887301, 2.443067e-05],
    np.float64: [
        *(0.0416666666666666, -0.0013888888888874457, 2.4801587289652868e-05),
        *(-2.7557314393874654e-07, 2.087572811227799e-09, -1.135986509245498e-11),
    ],
}
ERF = {
    np.float32: [
        *(0.12837917, -0.37612608, 0.1128281, -0.02675607),
        *(0.00471518,),
    ],
    np.float64: [
        *(0.1283791670955126, -0.3761263890318375, 0.1128379167095485, -0.026866170644991142),
        *(
            0.0052239776218254525,
            -0.0008548326486880509,
            0.00012055284468119252,
            -1.4922930257893819e-05,
        ),
        *(1.6369579369166968e-06, -1.460536276076477e-07),
    ],
}
ERFC = {
    np.float32: [
        *(1.2769784, -0.09276378, -0.16603081, 0.16404937),
        *(-0.05421139, -0.008011848, 0.008659475, 0.0011685131),
        *(-0.0012655862, -0.00025145168),
    ],
    np.float64: [
        *(1.2769783815525286, -0.09276382658574396, -0.16603039761529348, 0.16405128003312794),
        *(-0.05422000099162954, -0.008034015068241529, 0.008722653858772729, 0.0012713386742671312),
        *(
            -0.0014568135846242493,
            -0.00045433757570361284,
            0.0002063628023813126,
            0.00015101784057950065,
        ),
        *(
            -1.4776362049595512e-06,
            -3.633932000862947e-05,
            -1.3637376866201779e-05,
            3.517925008634711e-06,
        ),
        *(
            5.61833157939907e-06,
            1.7309001924334654e-06,
            -1.318369995616297e-06,
            -9.143409223975887e-07,
        ),
        *(2.402784754716654e-07, 1.03387634046665e-07),
    ],
}
HALF_PI_LACKS = {
    np.float32: np.pi / 2 - float(np.float32(np.pi / 2)),
    np.float64: 6.123233995736766e-17,
}
LN_2 = {
    np.float32: (17, -87.33654, 88.72283),
    np.float64: (33, -708.396418532264, 709.782712893384),
}
LN_2_REST = {np.float32: 1.428606765330187e-06, np.float64: 7.440617110012397e-11}


def quiet(function):
    @functools.wraps(function)
    def run(*args):
        with np.errstate(all="ignore"):
            return function(*args)

    return run


def flushed(x):
    return np.where(np.abs(x) < TINY[x.dtype.type], np.copysign(x.dtype.type(0), x), x)


def without_tiny(x):
    return np.where(np.abs(x) <= TINY[x.dtype.type], np.copysign(x.dtype.type(0), x), x)


@quiet
def multiply(x, y):
    return without_tiny(x * y)


@quiet
def add(x, y):
    total = x + y
    return np.where(np.abs(total) < TINY[x.dtype.type], x.dtype.type(0), total)


@quiet
def subtract(x, y):
    return add(x, -y)


@quiet
def divide(x, y):
    return without_tiny(x / y)


@quiet
def sqrt(x):
    return np.sqrt(x)


def square(x):
    return multiply(x, x)


def reciprocal(x):
    return divide(np.ones_like(x), x)


def rsqrt(x):
    return reciprocal(sqrt(x))


def integer_power(x, n):
    if n < 0:
        return reciprocal(integer_power(x, -n))
    # The products from the last factor to the first: x^13 = x (x^4 x^8) of the squares x, x^4, x^8.
    squares, factors = x, []
    while n:
        if n & 1:
            factors.append(squares)
        n >>= 1
        squares = multiply(squares, squares) if n else squares
    if not factors:
        return np.ones_like(x)
    return functools.reduce(lambda right, left: multiply(left, right), reversed(factors))


def horner(table, z):
    dtype = z.dtype.type
    return np.polyval([dtype(term) for term in reversed(table[dtype])], z)


def remainder(x):
    """n, and the parts whose difference is x - n ln 2."""
    dtype = x.dtype.type
    n = np.rint(x * dtype(1 / np.log(2)))
    first = math.floor(math.log(2) * 2 ** LN_2[dtype][0]) / 2 ** LN_2[dtype][0]
    return n, x - n * dtype(first), n * dtype(LN_2_REST[dtype])


def shifted(y, n):
    """y 2^n where n is a number of that."""
    return np.ldexp(y, np.nan_to_num(np.clip(n, -3000, 3000)).astype(np.int32))


def exp_times(x, lower):
    """e^x / 2^lower."""
    n, high, low = remainder(x)
    r = high - low
    return shifted((((r * r) * horner(EXP, r) - low) + high) + x.dtype.type(1), n - lower)


@quiet
def exp(x):
    dtype, y = x.dtype.type, exp_times(x, 0)
    _, lowest, highest = LN_2[dtype]
    y = np.where(x > dtype(highest), dtype(np.inf), np.where(x < dtype(lowest), dtype(0), y))
    return np.where(np.isnan(x), dtype(np.nan), y)


def two_to_the(r, low):
    """2^(r + low)."""
    dtype = r.dtype.type
    ln_2 = dtype(np.log(2))
    r = r * ln_2 if low is None else r * ln_2 + low * ln_2
    return ((r * r) * horner(EXP, r) + r) + dtype(1)


@quiet
def exp2(x):
    dtype = x.dtype.type
    n = np.rint(x)
    y = shifted(two_to_the(x - n, None), n)
    limit = -np.log2(TINY[dtype])
    y = np.where(x <= -limit, dtype(0), np.where(x >= limit + 2, dtype(np.inf), y))
    return np.where(np.isnan(x), dtype(np.nan), y)


@quiet
def expm1(x):
    dtype = x.dtype.type
    digits = {np.float32: 26, np.float64: 56}[dtype]
    n, high, low = remainder(x)
    r = high - low
    base = dtype(1) - np.ldexp(
        np.ones_like(x), -np.nan_to_num(np.clip(n, -3000, digits)).astype(int)
    )
    total = base + high
    y = ((high - (total - base)) - low) + (r * r) * horner(EXP, r)
    # A factor of two apart where it is large: 2^128 is no float32.
    over = (n > 1).astype(dtype)
    y = shifted(y + total, n - over) * (dtype(1) + over)
    y = np.where(x < dtype(-digits * np.log(2)), dtype(-1), np.where(x == 0, x, y))
    y = np.where(x > dtype(LN_2[dtype][2]), dtype(np.inf), y)
    return np.where(np.isnan(x), dtype(np.nan), y)


@quiet
def tanh(x):
    dtype = x.dtype.type
    z = x * x
    near = (z * horner(TANH, z)) * x + x
    e = exp(np.abs(x) * dtype(-2))
    far = np.copysign(dtype(1) - (e + e) / (e + dtype(1)), x)
    return np.where(np.abs(x) < dtype(0.55), near, far)


@quiet
def logistic(x):
    dtype = x.dtype.type
    e = exp(-np.abs(x))
    return np.where(x < 0, e, dtype(1)) / (e + dtype(1))


def parts(x):
    """k and f with x = 2^k (1 + f), 1 + f at least the nearest number to sqrt(1/2)."""
    dtype = x.dtype.type
    mantissa, k = np.frexp(x)
    low = mantissa < dtype(np.sqrt(0.5))
    return (k - low).astype(dtype), np.where(low, dtype(2) * mantissa, mantissa) - dtype(1)


def log_of_parts(k, f, small):
    dtype = f.dtype.type
    s = f / (f + dtype(2))
    z, half = s * s, (f * f) * dtype(0.5)
    curved = s * (half + z * horner(LOG, z))
    first = math.floor(math.log(2) * 2 ** LN_2[dtype][0]) / 2 ** LN_2[dtype][0]
    return (((curved + (k * dtype(LN_2_REST[dtype]) + small)) - half) + f) + k * dtype(first)


@quiet
def log2(x):
    k, f = parts(x)
    log2_e = x.dtype.type(1 / np.log(2))
    return log_of_all(x, log_of_parts(np.zeros_like(k), f, k * 0) * log2_e + k)


def log_of_all(x, y):
    dtype = x.dtype.type
    y = np.where(x > 0, y, np.where(x == 0, dtype(-np.inf), dtype(np.nan)))
    return np.where(x == np.inf, x, y)


@quiet
def log(x):
    return log_of_all(x, log_of_parts(*parts(x), x.dtype.type(0)))


@quiet
def log1p(x):
    dtype = x.dtype.type
    one = dtype(1)
    u = x + one
    lost = np.where(x < one, x - (u - one), one - (u - x))
    k, f = parts(u)
    limit = {np.float32: 46, np.float64: 104}[dtype]
    small = np.ldexp(lost, -np.minimum(k, limit).astype(int))
    small = small * ((one - f) + f * f)
    return np.where(x == 0, x, log_of_all(u, log_of_parts(k, f, small)))


def exact_product(x, y):
    """x y rounded, and what it lacks, by halves of the digits (Dekker 1971)."""
    dtype, (x, y) = x.dtype.type, np.broadcast_arrays(x, y)
    word, cut = {np.float32: (np.uint32, 12), np.float64: (np.uint64, 27)}[dtype]
    tops = [(z.view(word) >> word(cut) << word(cut)).view(dtype) for z in map(np.array, (x, y))]
    (a, c), (b, d) = tops, (x - tops[0], y - tops[1])
    product = x * y
    return product, (((a * c - product) + a * d) + b * c) + b * d


def pair_product(x, y):
    product, lost = exact_product(x[0], y[0])
    lost = lost + (x[0] * y[1] + x[1] * y[0])
    total = product + lost
    return total, lost - (total - product)


def pair_sum(large, small, rest):
    total = large + small
    return total, (small - (total - large)) + rest


def log2_pair(x):
    dtype = x.dtype.type
    k, f = parts(x)
    one, two = dtype(1), dtype(2)
    divisor = f + two
    s = f / divisor
    product, lost = exact_product(s, divisor)
    s = (s, (((f - product) - lost) - s * (f - (divisor - two))) / divisor)
    z = pair_product(s, s)
    odd = range(5, {np.float32: 14, np.float64: 30}[dtype], 2)
    tail = z[0] * horner({dtype: [1 / n for n in odd]}, z[0])
    third, scale = (dtype(1 / 3), dtype(2 / np.log(2)))
    if dtype is np.float32:
        thirds_rest, scale_rest = dtype(1 / 3 - float(third)), dtype(2 / np.log(2) - float(scale))
    else:
        thirds_rest, scale_rest = dtype(2.0**-54 / 3), dtype(float.fromhex("0x1.777d0ffda0d24p-55"))
    series = pair_sum(third, tail, thirds_rest)
    factor = pair_sum(one, *pair_product(z, series))
    whole = pair_product(pair_product(s, factor), (np.full_like(f, scale), scale_rest))
    return pair_sum(k, *whole)


@quiet
def power(x, y):
    dtype, size = x.dtype.type, np.abs(x)
    limit = -np.log2(TINY[dtype])
    if y.dtype.kind in "iu":
        whole, odd = np.full(y.shape, True), y % 2 == 1
        bits = {np.float32: 12, np.float64: 26}[dtype]
        exact = y.astype(object)
        most = {np.float32: 2**31 - 1, np.float64: 2**63 - 1}[dtype]
        exact = np.clip(exact, -most - (np.iinfo(y.dtype).max <= most), most)
        high = (exact >> bits << bits).astype(dtype)
        low = (exact & (2**bits - 1)).astype(dtype)
        y = (high + low, low - ((high + low) - high))
    else:
        whole = np.floor(y) == y
        odd = whole & (np.fmod(np.abs(y), 2) == 1)
        y = (y, np.zeros_like(y))
    logarithm = log2_pair(size)
    rough = y[0] * logarithm[0]
    high, low = pair_product(y, logarithm)
    high = np.where(np.abs(rough) < dtype(4 * limit + 4), high, rough)
    high = np.where(size == 0, y[0] * -np.inf, np.where(size == np.inf, y[0] * np.inf, high))
    n = np.rint(high)
    result = shifted(two_to_the(high - n, low), n)
    over = (high > limit + 2) | ((high == limit + 2) & ~(low < 0))
    result = np.where(high <= -limit, dtype(0), np.where(over, dtype(np.inf), result))
    result = np.where(size == 1, dtype(1), result)
    result = np.where(np.signbit(x) & odd, -result, result)
    nan = ((x < 0) & ~whole & (size < np.inf)) | np.isnan(x) | np.isnan(y[0])
    return np.where((y[0] == 0) | (x == 1), dtype(1), np.where(nan, dtype(np.nan), result))


def linear_below(x):
    """Where x^3 / 3 is lost in x."""
    return x.dtype.type({np.float32: 2.0**-12, np.float64: 2.0**-27}[x.dtype.type])


def two_over_pi(bits):
    """The whole part of 2/pi * 2^bits, by Machin's formula."""
    guard = bits + 64

    def arctangent_of_inverse(n):
        term, total, k = (1 << guard) // n, 0, 0
        while term:
            total += (-term if k & 1 else term) // (2 * k + 1)
            term //= n * n
            k += 1
        return total

    pi = 16 * arctangent_of_inverse(5) - 4 * arctangent_of_inverse(239)
    return (1 << (guard + bits + 1)) // pi


def in_quadrants(x):
    """The quadrant of |x|, the sign of its distance to the nearest one, and that distance in two numbers."""
    dtype = x.dtype.type
    width, digits = {np.float32: (32, 24), np.float64: (64, 53)}[dtype]
    table = two_over_pi(2000)
    quadrants, signs, numbers, rests = [], [], [], []
    for value in np.abs(x).tolist():
        mantissa, exponent = math.frexp(value) if math.isfinite(value) else (0.5, 1)
        whole, exponent = int(mantissa * 2**digits), exponent - 1
        # Three words of 2/pi, whose first bit stands for 2^(digits - exponent).
        window = (table >> (2000 - (exponent - digits + 3 * width - 1))) % 2 ** (3 * width)
        count = (whole * window % 2 ** (3 * width)) >> width
        nearest = (count + 2 ** (2 * width - 3)) >> (2 * width - 2)
        distance = (count - (nearest << (2 * width - 2))) << 2
        size = abs(distance)
        first = size >> (2 * width - digits)
        second = (size >> (2 * width - 2 * digits)) % 2**digits
        third = size % 2 ** (2 * width - 2 * digits)
        a, b, c = (
            np.ldexp(dtype(part), -place)
            for part, place in ((first, digits), (second, 2 * digits), (third, 2 * width))
        )
        quadrants.append(nearest % 4)
        signs.append(dtype(-1 if distance < 0 else 1))
        numbers.append(a + b)
        rests.append((b - ((a + b) - a)) + c)
    shape = x.shape
    return [
        np.array(values, kind).reshape(shape)
        for values, kind in ((quadrants, int), (signs, dtype), (numbers, dtype), (rests, dtype))
    ]


def sine_and_cosine(x):
    dtype = x.dtype.type
    quadrant, sign, number, rest = in_quadrants(x)
    half_pi = dtype(np.pi / 2)
    product, lost = exact_product(number, half_pi)
    lost = lost + (number * dtype(HALF_PI_LACKS[dtype]) + rest * half_pi)
    r = product + lost
    tail = sign * (lost - (r - product))
    small = np.abs(x) < dtype(np.pi / 4)
    quadrant = np.where(small, 0, quadrant)
    r, tail = np.where(small, np.abs(x), sign * r), np.where(small, dtype(0), tail)
    return quadrant, *sine_and_cosine_near_zero(r, tail)


def sine_and_cosine_near_zero(r, tail):
    dtype = r.dtype.type
    z, one, half = r * r, dtype(1), dtype(0.5)
    sine = (((z * horner(SINE, z)) * r) + (tail - (tail * z) * half)) + r
    curved = (z * horner(COSINE, z)) * z - r * tail
    top = one - z * half
    cosine = (((one - top) - z * half) + curved) + top
    return sine, cosine


@quiet
def sin(x):
    quadrant, sine, cosine = sine_and_cosine(x)
    y = np.choose(quadrant, [sine, cosine, -sine, -cosine])
    y = np.where(np.signbit(x), -y, y)
    return np.where(np.isfinite(x), np.where(x == 0, x, y), x.dtype.type(np.nan))


@quiet
def cos(x):
    quadrant, sine, cosine = sine_and_cosine(x)
    y = np.choose(quadrant, [cosine, -sine, -cosine, sine])
    return np.where(np.isfinite(x), y, x.dtype.type(np.nan))


def erf_near_zero(x):
    # The polynomial is about 1/8: its product with the smallest x is subnormal, so it is taken with 256 x.
    large = x * x.dtype.type(256)
    return (large * horner(ERF, x * x) + large) / x.dtype.type(256)


def complement(size):
    """erfc of numbers of at least 1/2."""
    dtype = size.dtype.type
    one, two = dtype(1), dtype(2)
    limit = dtype({np.float32: 9.5, np.float64: 27}[dtype])
    size = np.where(size > limit, limit, size)
    square, lost = exact_product(size, size)
    factor = horner(ERFC, (size - two) / (size + two))
    factor = factor - factor * lost
    return divide(exp(-square) * factor, two * size + one)


@quiet
def erf(x):
    dtype = x.dtype.type
    far = np.copysign(dtype(1) - complement(np.abs(x)), x)
    return np.where(np.abs(x) < dtype(0.5), erf_near_zero(x), far)


@quiet
def erfc(x):
    dtype = x.dtype.type
    far = complement(np.abs(x))
    far = np.where(x < 0, dtype(2) - far, far)
    return np.where(np.abs(x) < dtype(0.5), dtype(1) - erf_near_zero(x), far)


@quiet
def tan(x):
    quadrant, sine, cosine = sine_and_cosine(x)
    odd = quadrant % 2 == 1
    y = np.where(odd, -cosine, sine) / np.where(odd, sine, cosine)
    y = np.where(np.signbit(x), -y, y)
    y = np.where(np.abs(x) < linear_below(x), x, y)
    return np.where(np.isfinite(x), y, x.dtype.type(np.nan))
