/*
 * Handwritten digits on a Cortex-M, in C.
 *
 * The model was loaded when it was compiled: its header has the tables, and the linker takes just the kernels that it uses. The type of its
 * arena cannot be too small. Everything that this program needs is in static memory.
 */
#include <stdio.h>

#define DIGITS_PROGRAM_HERE
#include "digits.h"

static cortado_method method;
static digits_arena arena;

/* Images of 8 x 8 pixels, from the model's test set: 0 is white, 16 black. */
static const uint8_t images[][DIGITS_INPUT0_COUNT] = {
    {0, 0, 5, 13, 9, 1, 0, 0, 0, 0, 13, 15, 10, 15, 5, 0, 0, 3, 15, 2, 0, 11, 8, 0, 0, 4, 12, 0, 0, 8, 8, 0,
     0, 5, 8, 0, 0, 9, 8, 0, 0, 4, 11, 0, 1, 12, 7, 0, 0, 2, 14, 5, 10, 12, 0, 0, 0, 0, 6, 13, 10, 0, 0, 0},
    {0, 5, 12, 13, 16, 16, 2, 0, 0, 11, 16, 15, 8, 4, 0, 0, 0, 8, 14, 11, 1, 0, 0, 0, 0, 8, 16, 16, 14, 0, 0, 0,
     0, 1, 6, 6, 16, 0, 0, 0, 0, 0, 0, 5, 16, 3, 0, 0, 0, 1, 5, 15, 13, 0, 0, 0, 0, 4, 15, 16, 2, 0, 0, 0},
    {0, 0, 11, 10, 12, 4, 0, 0, 0, 0, 12, 13, 9, 16, 1, 0, 0, 0, 7, 13, 11, 16, 0, 0, 0, 0, 1, 16, 14, 4, 0, 0,
     0, 0, 10, 16, 13, 0, 0, 0, 0, 0, 14, 7, 12, 7, 0, 0, 0, 4, 14, 4, 12, 13, 0, 0, 0, 1, 11, 14, 12, 4, 0, 0},
    {0, 0, 9, 16, 13, 6, 0, 0, 0, 0, 6, 5, 16, 16, 0, 0, 0, 0, 0, 8, 15, 5, 0, 0, 0, 0, 0, 5, 14, 3, 0, 0,
     0, 0, 0, 0, 9, 15, 2, 0, 0, 0, 0, 0, 0, 11, 12, 0, 0, 0, 4, 8, 11, 15, 12, 0, 0, 0, 11, 14, 12, 8, 0, 0},
};

static int failed(const char *what, cortado_error error)
{
    cortado_failure failure;
    cortado_last_failure(&method, &failure);
    printf("%s: %s, %u needed, %u given\n", what, cortado_error_name(error), (unsigned)failure.needed, (unsigned)failure.given);
    return 1;
}

static void draw(const uint8_t *image)
{
    for (int row = 0; row < 8; row++) {
        for (int column = 0; column < 8; column++) {
            putchar(" .:-=+*#@"[image[8 * row + column] / 2]);
        }
        putchar('\n');
    }
}

int main(void)
{
    cortado_error error = digits_link(&method, &arena);
    if (error != CORTADO_OK) {
        return failed("the program is not what it was", error);
    }
    printf("%s kernels, %u bytes of arena\n", cortado_isa(), (unsigned)DIGITS_ARENA_BYTES);

    for (size_t n = 0; n < sizeof images / sizeof images[0]; n++) {
        /* Filled in place: the input lies in the arena. */
        void *memory;
        error = cortado_input(&method, 0, &memory, NULL);
        if (error != CORTADO_OK) {
            return failed("no input", error);
        }
        digits_input0_element *pixels = memory;
        for (int i = 0; i < DIGITS_INPUT0_COUNT; i++) {
            pixels[i] = (float)images[n][i] / 16.0f;
        }

        error = cortado_execute(&method);
        if (error != CORTADO_OK) {
            return failed("not executed", error);
        }

        const void *output;
        error = cortado_output(&method, 0, &output, NULL);
        if (error != CORTADO_OK) {
            return failed("no output", error);
        }
        const digits_output0_element *scores = output;
        int best = 0;
        for (int digit = 1; digit < DIGITS_OUTPUT0_COUNT; digit++) {
            best = scores[digit] > scores[best] ? digit : best;
        }
        draw(images[n]);
        printf("this is a %d\n\n", best);
    }
    return 0;
}
