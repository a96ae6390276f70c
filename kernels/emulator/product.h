// Part of runtime.cpp: a warp's matrix product. The fragments are laid out in the lanes as device.cuh draws them; the
// product of two tf32 or bfloat16 numbers is exact in float32, and the sums are rounded to float32 as k goes up.

float number(unsigned word) { return bits<float>(word); }

void split(unsigned word, float* pair) { pair[0] = number(word << 16), pair[1] = number(word & ~0xffffu); }  // bfloat16

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__)
__attribute__((target_clones("avx2", "default")))
#endif
void multiply(unsigned depth, const float (&a)[16][16], const float (&b)[16][8], float (&c)[16][8]) {
    for (unsigned i = 0; i < 16; i++)
        for (unsigned k = 0; k < depth; k++)
            for (unsigned j = 0; j < 8; j++) c[i][j] += a[i][k] * b[k][j];
}

void product(Warp& warp, unsigned depth) {  // layout: see device.cuh
    float a[16][16], b[16][8], c[16][8];
    for (unsigned lane = 0; lane < 32; lane++) {
        unsigned g = lane / 4, t = lane % 4;
        for (unsigned i = 0; i < 4; i++) {
            unsigned row = g + i % 2 * 8, word = warp.a[lane][i];
            if (depth == 8) a[row][t + i / 2 * 4] = number(word & ~0x1fffu);  // the hardware reads no further
            else split(word, &a[row][2 * t + i / 2 * 8]);
            c[row][2 * t + i / 2] = warp.c[lane][i % 2 * 2 + i / 2];
        }
        for (unsigned i = 0; i < 2; i++) {
            unsigned word = warp.b[lane][i];
            float pair[2];
            split(word, pair);
            if (depth == 8) b[t + i * 4][g] = number(word & ~0x1fffu);
            else b[2 * t + i * 8][g] = pair[0], b[2 * t + i * 8 + 1][g] = pair[1];
        }
    }
    multiply(depth, a, b, c);
    for (unsigned lane = 0; lane < 32; lane++)
        for (unsigned i = 0; i < 4; i++) warp.c[lane][i] = c[lane / 4 + i / 2 * 8][lane % 4 * 2 + i % 2];
}
