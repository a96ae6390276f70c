// Pictures (N, H, W, C) padded, resized, dropped out and joined, and the adjoints of what is linear. Each number is
// stored once; an adjoint is computed as a gather too, so that nothing is added atomically.
//     reflect_pad     y[i, j] = x[mirror(i - top), mirror(j - left)]      adjoint: a pixel collects its images, itself
//                                                                         and up to two mirrored ones along each axis
//     upsample        y[i, j] = x[i / s, j / s]                           adjoint: the sum of s x s numbers of gy
//     pixel_shuffle   y[h s + i, w s + j, c] = x[h, w, c s s + i s + j]   adjoint and inverse: pixel_unshuffle
//     dropout         y = x keep / (1 - rate), keep = fraction of the stream >= rate
//     concat          up to 16 arrays, joined along the last axis
// There is one version. A block makes one row of a picture: only its first pixel is found by division, and along the
// row a thread steps on by as many pixels and channels as there are threads.
#include "device.cuh"
#include "loops/philox.cuh"

constexpr int ROW = 128;  // threads that make a row

// f(pixel, c) for each W channels c.. of each pixel of a row.
template <int W, class F>
__device__ __forceinline__ void along_row(int pixels, int C, F f) {
    const int packs = C / W, step_pixels = ROW / packs, step_packs = ROW % packs;
    int pixel = threadIdx.x / packs, pack = threadIdx.x % packs;
    while (pixel < pixels) {
        f(pixel, pack * W);
        pixel += step_pixels, pack += step_packs;
        if (pack >= packs) pack -= packs, ++pixel;
    }
}

// --- mirrored borders -------------------------------------------------------------------------------------------

// Where place i comes from, among n, when both ends are mirrors.
__device__ __forceinline__ int mirror(int i, int n) { return i < 0 ? -i : i >= n ? 2 * (n - 1) - i : i; }

struct Borders {
    int before, after, n;  // of one axis, and the picture's own length

    // Image k = 0, 1, 2 of place i in the padded picture, -1 if there is none: itself, before the border, behind it.
    __device__ __forceinline__ int image(int k, int i) const {
        if (k == 0) return before + i;
        if (k == 1) return i >= 1 && i <= before ? before - i : -1;
        return i <= n - 2 && i >= n - 1 - after ? before + 2 * (n - 1) - i : -1;
    }
};

template <int W>
__device__ __forceinline__ void reflect_pad_row(const real* x, real* y, int C, const Borders& rows,
                                                const Borders& cols) {
    const int OH = rows.before + rows.n + rows.after, OW = cols.before + cols.n + cols.after;
    const long long from = blockIdx.x / OH * rows.n + mirror(blockIdx.x % OH - rows.before, rows.n);
    x += from * cols.n * C, y += blockIdx.x * (long long)OW * C;
    along_row<W>(OW, C, [=](int j, int c) {
        store(y + j * C + c, load<W>(x + mirror(j - cols.before, cols.n) * C + c, true), true);
    });
}

extern "C" __global__ void __launch_bounds__(ROW, 8)
reflect_pad(const real* __restrict__ x, real* __restrict__ y, int H, int width, int C, int top, int bottom, int left,
            int right) {
    const Borders rows = {top, bottom, H}, cols = {left, right, width};
    if (C % WIDE == 0 && aligned(x, y)) reflect_pad_row<WIDE>(x, y, C, rows, cols);
    else reflect_pad_row<1>(x, y, C, rows, cols);
}

template <int W>
__device__ __forceinline__ void reflect_pad_bwd_row(const real* gy, real* gx, int C, const Borders& rows,
                                                    const Borders& cols) {
    const int OH = rows.before + rows.n + rows.after, OW = cols.before + cols.n + cols.after;
    const int h = blockIdx.x % rows.n;
    gy += blockIdx.x / rows.n * (long long)OH * OW * C, gx += blockIdx.x * (long long)cols.n * C;
    along_row<W>(cols.n, C, [=](int w, int c) {
        Pack<W> sum = {};
#pragma unroll
        for (int a = 0; a < 3; ++a) {
            const int i = rows.image(a, h);
            if (i < 0) continue;
#pragma unroll
            for (int b = 0; b < 3; ++b) {
                const int j = cols.image(b, w);
                if (j < 0) continue;
                const Pack<W> g = load<W>(gy + ((long long)i * OW + j) * C + c, true);
#pragma unroll
                for (int k = 0; k < W; ++k) sum.of[k] += g.of[k];
            }
        }
        store(gx + w * C + c, sum, true);
    });
}

extern "C" __global__ void __launch_bounds__(ROW, 8)
reflect_pad_bwd(const real* __restrict__ gy, real* __restrict__ gx, int H, int width, int C, int top, int bottom,
                int left, int right) {
    const Borders rows = {top, bottom, H}, cols = {left, right, width};
    if (C % WIDE == 0 && aligned(gy, gx)) reflect_pad_bwd_row<WIDE>(gy, gx, C, rows, cols);
    else reflect_pad_bwd_row<1>(gy, gx, C, rows, cols);
}

// --- resizing: H, width, C are those of the small picture -------------------------------------------------------

template <int W>
__device__ __forceinline__ void upsample_row(const real* x, real* y, int width, int C, int scale) {
    x += blockIdx.x / scale * (long long)width * C, y += blockIdx.x * (long long)width * scale * C;
    along_row<W>(width * scale, C, [=](int j, int c) {
        store(y + j * C + c, load<W>(x + j / scale * C + c, true), true);
    });
}

extern "C" __global__ void __launch_bounds__(ROW, 8)
upsample(const real* __restrict__ x, real* __restrict__ y, int width, int C, int scale) {
    if (C % WIDE == 0 && aligned(x, y)) upsample_row<WIDE>(x, y, width, C, scale);
    else upsample_row<1>(x, y, width, C, scale);
}

template <int W>
__device__ __forceinline__ void upsample_bwd_row(const real* gy, real* gx, int width, int C, int scale) {
    const long long line = (long long)width * scale * C;
    gy += blockIdx.x * scale * line, gx += blockIdx.x * (long long)width * C;
    along_row<W>(width, C, [=](int w, int c) {
        Pack<W> sum = {};
        for (int i = 0; i < scale; ++i)
            for (int j = 0; j < scale; ++j) {
                const Pack<W> g = load<W>(gy + i * line + (w * scale + j) * C + c, true);
#pragma unroll
                for (int k = 0; k < W; ++k) sum.of[k] += g.of[k];
            }
        store(gx + w * C + c, sum, true);
    });
}

extern "C" __global__ void __launch_bounds__(ROW, 8)
upsample_bwd(const real* __restrict__ gy, real* __restrict__ gx, int width, int C, int scale) {
    if (C % WIDE == 0 && aligned(gy, gx)) upsample_bwd_row<WIDE>(gy, gx, width, C, scale);
    else upsample_bwd_row<1>(gy, gx, width, C, scale);
}

// --- the s x s numbers of a channel, s = scale: packs of the deep picture, single numbers of the wide one -------

template <int W, bool SHUFFLE>
__device__ __forceinline__ void shuffle_row(const real* from, real* to, int width, int C, int scale) {
    const int square = scale * scale;
    const long long first = blockIdx.x * (long long)width * C * square, line = (long long)width * scale * C;
    from += first, to += first;
    along_row<1>(width, C, [=](int w, int c) {
        const int deep = (w * C + c) * square;
        long long wide = w * scale * C + c;
        int j = 0;
        auto next = [&] {  // the next number's pixel: to the right, or in the next row
            wide += C;
            if (++j == scale) j = 0, wide += line - scale * C;
        };
        for (int k = 0; k < square; k += W) {
            Pack<W> v;
            if (SHUFFLE) v = load<W>(from + deep + k, true);
#pragma unroll
            for (int l = 0; l < W; ++l, next())
                if (SHUFFLE) to[wide] = v.of[l];
                else v.of[l] = from[wide];
            if (!SHUFFLE) store(to + deep + k, v, true);
        }
    });
}

extern "C" __global__ void __launch_bounds__(ROW, 8)
pixel_shuffle(const real* __restrict__ x, real* __restrict__ y, int width, int C, int scale) {
    if (scale * scale % WIDE == 0 && aligned(x)) shuffle_row<WIDE, true>(x, y, width, C, scale);
    else shuffle_row<1, true>(x, y, width, C, scale);
}

extern "C" __global__ void __launch_bounds__(ROW, 8)
pixel_unshuffle(const real* __restrict__ y, real* __restrict__ x, int width, int C, int scale) {
    if (scale * scale % WIDE == 0 && aligned(x)) shuffle_row<WIDE, false>(y, x, width, C, scale);
    else shuffle_row<1, false>(y, x, width, C, scale);
}

// --- flat arrays ------------------------------------------------------------------------------------------------

extern "C" __global__ void __launch_bounds__(THREADS)
dropout(const real* __restrict__ x, real* __restrict__ y, long long n, unsigned long long seed,
        unsigned long long stream, unsigned long long start, const unsigned long long* dial, real rate) {
    const long long i = (blockIdx.x * (long long)THREADS + threadIdx.x) * 4;
    if (i >= n) return;
    real out[4];
    load_four(x + i, out, n - i);
    const Four r = philox_at(seed, stream, (dial != nullptr ? *dial : start) + i / 4);
    const real scale = 1 / (1 - rate);
#pragma unroll
    for (int k = 0; k < 4; ++k) out[k] *= fraction(r.of[k]) >= rate ? scale : real(0);
    store_four(y + i, out, n - i);
}

constexpr int SOURCES = 16, BATCH = 4;  // BATCH: packs that a thread loads before it stores the first

struct Sources {
    const real* x[SOURCES];
    int channels[SOURCES], first[SOURCES];  // of each source, and where they begin in y
};

// A block takes TILE numbers of a source.
template <int W>
__device__ __forceinline__ void concat_tile(const real* x, real* y, long long rows, int channels, int first, int C) {
    const int packs = channels / W, step_rows = THREADS / packs, step_packs = THREADS % packs;
    const long long begin = blockIdx.x * (long long)(TILE / W) + threadIdx.x;
    long long row = begin / packs;
    int pack = begin % packs;
#pragma unroll 1
    for (int t = 0; t < TILE / (THREADS * W); t += BATCH) {
        Pack<W> v[BATCH];
        long long to[BATCH];
#pragma unroll
        for (int b = 0; b < BATCH; ++b) {
            to[b] = row < rows ? row * C + first + pack * W : -1;
            if (row < rows) v[b] = load<W>(x + row * channels + pack * W, true);
            row += step_rows, pack += step_packs;
            if (pack >= packs) pack -= packs, ++row;
        }
#pragma unroll
        for (int b = 0; b < BATCH; ++b)
            if (to[b] >= 0) store(y + to[b], v[b], true);
    }
}

// blockIdx.y: the source.
extern "C" __global__ void __launch_bounds__(THREADS, 4)
concat(real* __restrict__ y, long long rows, int C, Sources sources) {
    const real* const x = sources.x[blockIdx.y];
    const int channels = sources.channels[blockIdx.y], first = sources.first[blockIdx.y];
    if (channels == 0) return;
    if (channels % WIDE == 0 && first % WIDE == 0 && C % WIDE == 0 && aligned(x, y))
        concat_tile<WIDE>(x, y, rows, channels, first, C);
    else concat_tile<1>(x, y, rows, channels, first, C);
}
