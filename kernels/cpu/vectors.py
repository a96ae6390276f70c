"""The three inner loops that are written in the processor's vectors, through LLVM: `tile`, `mix` and `turn`.

    tile      MR x NR numbers of C = A B stay in registers while k runs: for each k, MR broadcasts of A, two loads of
              B and 2 MR fused multiply-adds, which are all that the processor can do in that time
    mix       a row of numbers from one to four others, weighed and added: what the Winograd transforms are made of
    turn      an 8 x 8 block of a matrix, transposed in registers

A compiler finds none of them in plain loops: it cannot know that rows do not overlap, nor keep a block in registers.
All take addresses and check nothing. Read `matmul.py` next, which walks over a matrix with the tile.
"""

from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

FEATURES = binding.get_host_cpu_features()
VECTOR = 64 if FEATURES.get("avx512f") else 32 if FEATURES.get("avx") else 16  # bytes of a register
MR = 6 if VECTOR == 32 else 8  # rows of a tile: 12 of 16, or 16 of 32 registers hold C
FMA = "llvm.fmuladd" if "sse2" in FEATURES and not FEATURES.get("fma") else "llvm.fma"


def _fused(builder, kind):
    """The function x y + z, rounded once, for numbers or vectors of them."""
    real = kind.element if isinstance(kind, ir.VectorType) else kind
    name = ("" if kind is real else f"v{kind.count}") + ("f32" if isinstance(real, ir.FloatType) else "f64")
    return cgutils.get_or_insert_function(builder.module, ir.FunctionType(kind, [kind] * 3), f"{FMA}.{name}")


def _spread(builder, number, kind):
    """`number` itself, or a vector of copies."""
    if not isinstance(kind, ir.VectorType):
        return number
    none, first = ir.Constant(kind, ir.Undefined), ir.Constant(ir.IntType(32), 0)
    places = ir.Constant(ir.VectorType(ir.IntType(32), kind.count), [0] * kind.count)
    return builder.shuffle_vector(builder.insert_element(none, number, first), none, places)


# --- tile --------------------------------------------------------------------------------------------------


def _tile(rows):
    """The intrinsic tile(like, k, a, rs, cs, b, bs, c, ldc, n, add): C (rows, n) = A B, or C += A B with `add`.

    a[i rs + k cs], b[k bs + j], c[i ldc + j] with addresses a, b, c and steps in elements; n up to NR, two registers,
    of which B must have all. `like` is an array of the same type.
    """

    @intrinsic
    def tile(typing, like, k, a, rs, cs, b, bs, c, ldc, n, add):
        size = like.dtype.bitwidth // 8

        def generate(context, builder, signature, values):
            real, index = context.get_value_type(like.dtype), values[1].type
            vector = ir.VectorType(real, VECTOR // size)
            k, a, rs, cs, b, bs, c, ldc, n, add = values[1:]
            a, b, c = (builder.inttoptr(p, real.as_pointer()) for p in (a, b, c))
            sums = [[cgutils.alloca_once(builder, vector) for _ in range(2)] for _ in range(rows)]  # in registers
            lines = [builder.gep(c, [builder.mul(ldc, index(i))]) for i in range(rows)]
            for register in (r for pair in sums for r in pair):
                builder.store(ir.Constant(vector, None), register)
            with builder.if_then(add):
                _exchange(builder, sums, lines, n, vector, size, read=True)
            with cgutils.for_range(builder, k) as step:
                right = _halves(builder, builder.gep(b, [builder.mul(step.index, bs)]), vector)
                right = [builder.load(p, align=size) for p in right]
                column = builder.gep(a, [builder.mul(step.index, cs)])
                for i in range(rows):
                    left = builder.load(builder.gep(column, [builder.mul(rs, index(i))]))
                    left = _spread(builder, left, vector)
                    for register, factor in zip(sums[i], right, strict=True):
                        total = [left, factor, builder.load(register)]
                        builder.store(builder.call(_fused(builder, vector), total), register)
            _exchange(builder, sums, lines, n, vector, size, read=False)
            return context.get_dummy_value()

        return types.void(like, *[types.intp] * 9, types.boolean), generate

    return tile


def _halves(builder, pointer, vector):
    """The addresses of two vectors side by side."""
    steps = (builder.gep(pointer, [ir.IntType(64)(half * vector.count)]) for half in range(2))
    return [builder.bitcast(p, vector.as_pointer()) for p in steps]


def _exchange(builder, sums, lines, n, vector, size, read):
    """The sums from or to the lines of C; where C ends inside the tile, number by number by way of `edge`."""
    edge = cgutils.alloca_once(builder, vector.element, ir.IntType(64)(2 * vector.count))

    def copy(registers, line):
        for register, place in zip(registers, _halves(builder, line, vector), strict=True):
            if read:
                builder.store(builder.load(place, align=size), register)
            else:
                builder.store(builder.load(register), place, align=size)

    with builder.if_else(builder.icmp_signed("==", n, n.type(2 * vector.count))) as (whole, cut):
        with whole:
            for registers, line in zip(sums, lines, strict=True):
                copy(registers, line)
        with cut:
            for registers, line in zip(sums, lines, strict=True):
                if not read:
                    copy(registers, edge)
                with cgutils.for_range(builder, n) as column:
                    source, target = (builder.gep(p, [column.index]) for p in ((line, edge) if read else (edge, line)))
                    builder.store(builder.load(source), target)
                if read:
                    copy(registers, edge)


tile_full, tile_four, tile_one = _tile(MR), _tile(4), _tile(1)


# --- mix ---------------------------------------------------------------------------------------------------


def _mix(like, count):
    """Type and code of mix(like, n, out, x0, c0, x1, c1, ...): out[k] = c0 x0[k] + c1 x1[k] + ... for k < n."""
    size = like.dtype.bitwidth // 8

    def generate(context, builder, signature, values):
        real, index = context.get_value_type(like.dtype), values[1].type
        vector = ir.VectorType(real, VECTOR // size)
        n, rows, factors = values[1], [values[2], *values[3::2]], values[4::2]
        rows = [builder.inttoptr(p, real.as_pointer()) for p in rows]

        def run(kind, first, last, step):
            spread = [_spread(builder, factor, kind) for factor in factors]
            with cgutils.for_range_slice(builder, first, last, step, index) as (k, _):
                out, *sources = (builder.bitcast(builder.gep(p, [k]), kind.as_pointer()) for p in rows)
                terms = [builder.load(p, align=size) for p in sources]
                total = builder.fmul(terms[0], spread[0])
                for term, factor in zip(terms[1:], spread[1:], strict=True):
                    total = builder.call(_fused(builder, kind), [term, factor, total])
                builder.store(total, out, align=size)

        whole = builder.sub(n, builder.srem(n, index(vector.count)))
        run(vector, index(0), whole, index(vector.count))
        run(real, whole, n, index(1))
        return context.get_dummy_value()

    return types.void(like, types.intp, types.intp, *[types.intp, like.dtype] * count), generate


@intrinsic
def mix1(typing, like, n, out, x0, c0):
    """out = c0 x0."""
    return _mix(like, 1)


@intrinsic
def mix2(typing, like, n, out, x0, c0, x1, c1):
    """out = c0 x0 + c1 x1."""
    return _mix(like, 2)


@intrinsic
def mix3(typing, like, n, out, x0, c0, x1, c1, x2, c2):
    """out = c0 x0 + c1 x1 + c2 x2."""
    return _mix(like, 3)


@intrinsic
def mix4(typing, like, n, out, x0, c0, x1, c1, x2, c2, x3, c3):
    """out = c0 x0 + c1 x1 + c2 x2 + c3 x3."""
    return _mix(like, 4)


# --- turn --------------------------------------------------------------------------------------------------


@intrinsic
def turn(typing, like, x, ldx, y, ldy):
    """y[j ldy + i] = x[i ldx + j] for i, j < 8; addresses and steps in elements."""
    size = like.dtype.bitwidth // 8

    def generate(context, builder, signature, values):
        real, index, number = context.get_value_type(like.dtype), values[1].type, ir.IntType(32)
        vector = ir.VectorType(real, 8)
        x, ldx, y, ldy = values[1:]

        def rows(start, step):
            start = builder.inttoptr(start, real.as_pointer())
            steps = (builder.gep(start, [builder.mul(step, index(i))]) for i in range(8))
            return [builder.bitcast(p, vector.as_pointer()) for p in steps]

        lines = [builder.load(p, align=size) for p in rows(x, ldx)]
        for s in (1, 2, 4):  # off-diagonal s x s blocks change places inside every 2 s x 2 s block
            for i in (i for i in range(8) if not i & s):
                upper, lower = lines[i], lines[i + s]
                left = [k if not k & s else 8 + k - s for k in range(8)]
                right = [k + s if not k & s else 8 + k for k in range(8)]
                places = (ir.Constant(ir.VectorType(number, 8), mask) for mask in (left, right))
                lines[i], lines[i + s] = (builder.shuffle_vector(upper, lower, mask) for mask in places)
        for line, place in zip(lines, rows(y, ldy), strict=True):
            builder.store(line, place, align=size)
        return context.get_dummy_value()

    return types.void(like, *[types.intp] * 4), generate
