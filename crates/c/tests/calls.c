/*
 * Every function of cortado.h, used right and used wrong: on the host under sanitizers, and on emulated boards. `cargo xtask c` builds and
 * runs it, with the headers of these programs, all of the digits model:
 *
 *  - digits.h: as it is. int8.h: integers at the border. lent.h: inputs and outputs lent. banks.h: an arena of two banks;
 *  - foreign.h: for a core whose layers have other constants;
 *  - samples.h: SAMPLES inputs, and their outputs as they must be, bit for bit, from the runtime in Rust on the host.
 *
 * The last line that it prints is "passed" and the number of checks.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIGITS_PROGRAM_HERE
#include "digits.h"
#define INT8_PROGRAM_HERE
#include "int8.h"
#define LENT_PROGRAM_HERE
#include "lent.h"
#define BANKS_PROGRAM_HERE
#include "banks.h"
#define FOREIGN_PROGRAM_HERE
#include "foreign.h"
#include "samples.h"

static unsigned passed;
static unsigned failed;

static void check(int holds, const char *what, int line)
{
    if (holds) {
        passed++;
    } else {
        failed++;
        printf("calls.c:%d: %s\n", line, what);
    }
}
#define CHECK(condition) check(condition, #condition, __LINE__)

/* Checks what a call returned; and, of a method, what it tells of that afterwards. */
static void check_error(cortado_error found, cortado_error expected, const char *what, int line)
{
    check(found == expected, what, line);
    if (found != expected) {
        printf("  %s instead of %s\n", cortado_error_name(found), cortado_error_name(expected));
    }
}
#define CHECK_ERROR(call, expected) check_error(call, expected, #call, __LINE__)

static cortado_method method;

/* A failure that was told by `method`. */
static cortado_failure told(void)
{
    cortado_failure failure;
    CHECK_ERROR(cortado_last_failure(&method, &failure), CORTADO_OK);
    return failure;
}

#define CHECK_TOLD(call, expected, at_place, at_index)                                                                                   \
    do {                                                                                                                                 \
        CHECK_ERROR(call, expected);                                                                                                     \
        cortado_failure it = told();                                                                                                     \
        CHECK(it.error == expected && it.place == at_place && it.index == at_index);                                                     \
    } while (0)

/* Aligned memory of just this size, so that a sanitizer sees the first byte that is used beyond. */
static void *take(size_t bytes)
{
    /* Newlib's is aligned to 8 bytes only; there, what is in front is lost. */
    const size_t spare = CORTADO_ALIGNMENT > 2 * sizeof(size_t) ? CORTADO_ALIGNMENT : 0;
    char *memory = malloc(bytes + spare);
    if (memory == NULL) {
        printf("no memory\n");
        exit(1);
    }
    if (spare != 0) {
        memory += CORTADO_ALIGNMENT - (uintptr_t)memory % CORTADO_ALIGNMENT;
    }
    /* Nothing depends on what is there. */
    memset(memory, 0xa5, bytes);
    return memory;
}

static void release(void *memory)
{
    if (CORTADO_ALIGNMENT <= 2 * sizeof(size_t)) {
        free(memory);
    }
}

static void names_and_versions(void)
{
    CHECK(cortado_version() == (CORTADO_VERSION_MAJOR << 16 | CORTADO_VERSION_MINOR << 8 | CORTADO_VERSION_PATCH));
    CHECK(strcmp(cortado_isa(), DIGITS_ISA) == 0);
    CHECK(strcmp(cortado_error_name(CORTADO_OK), "CORTADO_OK") == 0);
    CHECK(strcmp(cortado_error_name(CORTADO_ERROR_LAYOUT), "CORTADO_ERROR_LAYOUT") == 0);
    CHECK(strcmp(cortado_error_name(12345), "CORTADO_ERROR_?") == 0);
    CHECK(strcmp(cortado_error_name(-1), "CORTADO_ERROR_?") == 0);
}

static void requirements(void)
{
    cortado_needs needs;
    CHECK_ERROR(cortado_requirements(digits_program, DIGITS_PROGRAM_BYTES, &needs), CORTADO_OK);
    CHECK(needs.state_bytes == DIGITS_STATE_BYTES && needs.arena_bytes == DIGITS_ARENA_BYTES);
    CHECK(needs.bank_count == 1 && needs.bank_bytes[0] == DIGITS_ARENA_BYTES && needs.bank_bytes[1] == 0);
    CHECK_ERROR(cortado_requirements(banks_program, BANKS_PROGRAM_BYTES, &needs), CORTADO_OK);
    CHECK(needs.bank_count == 2 && needs.bank_bytes[0] == BANKS_FAST_BYTES && needs.bank_bytes[1] == BANKS_SLOW_BYTES);
    CHECK(BANKS_FAST_BYTES > 0 && BANKS_SLOW_BYTES > 0);

    CHECK_ERROR(cortado_requirements(NULL, DIGITS_PROGRAM_BYTES, &needs), CORTADO_ERROR_NULL);
    CHECK(needs.state_bytes == 0 && needs.bank_count == 0);
    CHECK_ERROR(cortado_requirements(digits_program, DIGITS_PROGRAM_BYTES, NULL), CORTADO_ERROR_NULL);
    CHECK_ERROR(cortado_requirements(digits_program, (size_t)-1, &needs), CORTADO_ERROR_SIZE);
    CHECK_ERROR(cortado_requirements(digits_program, 0, &needs), CORTADO_ERROR_FORMAT);
    CHECK_ERROR(cortado_requirements(digits_program, 100, &needs), CORTADO_ERROR_FORMAT);
    CHECK_ERROR(cortado_requirements(digits_program + 4, DIGITS_PROGRAM_BYTES - 4, &needs), CORTADO_ERROR_PROGRAM_MISALIGNED);
}

static void right_answers(void)
{
    digits_state *state = take(sizeof *state);
    digits_arena *arena = take(sizeof *arena);
    CHECK_ERROR(digits_load(&method, state, arena), CORTADO_OK);
    CHECK(told().error == CORTADO_OK);
    CHECK(cortado_input_count(&method) == DIGITS_INPUT_COUNT && cortado_output_count(&method) == DIGITS_OUTPUT_COUNT);

    for (size_t n = 0; n < SAMPLES; n++) {
        const void *output;
        size_t bytes = 0;
        if (n % 2 == 0) {
            CHECK_ERROR(cortado_set_input(&method, 0, inputs[n], sizeof inputs[n]), CORTADO_OK);
        } else {
            void *input;
            CHECK_ERROR(cortado_input(&method, 0, &input, &bytes), CORTADO_OK);
            CHECK(bytes == DIGITS_INPUT0_BYTES && (uintptr_t)input % sizeof(digits_input0_element) == 0);
            memcpy(input, inputs[n], bytes);
        }
        CHECK_ERROR(cortado_execute(&method), CORTADO_OK);
        CHECK_ERROR(cortado_output(&method, 0, &output, &bytes), CORTADO_OK);
        CHECK(bytes == DIGITS_OUTPUT0_BYTES && memcmp(output, outputs[n], bytes) == 0);
    }
    release(state);
    release(arena);
}

/* Programs that were loaded when they were compiled: the same answers, without state. */
static void linked_programs(void)
{
    digits_arena *arena = take(sizeof *arena);
    banks_fast *fast = take(sizeof *fast);
    banks_slow *slow = take(sizeof *slow);
    lent_arena *rest = take(sizeof *rest);
    static lent_input0_memory in;
    static lent_output0_memory out;
    cortado_tensor_info info;
    const void *output;
    for (size_t n = 0; n < SAMPLES; n++) {
        CHECK_ERROR(digits_link(&method, arena), CORTADO_OK);
        CHECK_ERROR(cortado_set_input(&method, 0, inputs[n], sizeof inputs[n]), CORTADO_OK);
        CHECK_ERROR(cortado_execute(&method), CORTADO_OK);
        CHECK_ERROR(cortado_output(&method, 0, &output, NULL), CORTADO_OK);
        CHECK(memcmp(output, outputs[n], DIGITS_OUTPUT0_BYTES) == 0);

        CHECK_ERROR(banks_link(&method, fast, slow), CORTADO_OK);
        CHECK_ERROR(cortado_set_input(&method, 0, inputs[n], sizeof inputs[n]), CORTADO_OK);
        CHECK_ERROR(cortado_execute(&method), CORTADO_OK);
        CHECK_ERROR(cortado_output(&method, 0, &output, NULL), CORTADO_OK);
        CHECK(memcmp(output, outputs[n], BANKS_OUTPUT0_BYTES) == 0);

        CHECK_ERROR(lent_link(&method, rest), CORTADO_OK);
        memcpy(&in, inputs[n], sizeof inputs[n]);
        cortado_bytes read = {&in, LENT_INPUT0_BYTES};
        cortado_memory written = {&out, LENT_OUTPUT0_BYTES};
        CHECK_ERROR(cortado_execute_with(&method, &read, 1, &written, 1), CORTADO_OK);
        CHECK(memcmp(&out, outputs[n], LENT_OUTPUT0_BYTES) == 0);
        written.data = (void *)(uintptr_t)lent_linked.constants;
        CHECK_ERROR(cortado_execute_with(&method, &read, 1, &written, 1), CORTADO_ERROR_OVERLAP);
    }
    CHECK_ERROR(digits_link(&method, arena), CORTADO_OK);
    CHECK_ERROR(cortado_input_info(&method, 0, &info), CORTADO_OK);
    CHECK(info.dtype == DIGITS_INPUT0_DTYPE && info.rank == DIGITS_INPUT0_RANK && info.bytes == DIGITS_INPUT0_BYTES);

    cortado_memory bank = {arena, DIGITS_ARENA_BYTES};
    CHECK_ERROR(cortado_link(NULL, &digits_linked, &bank, 1), CORTADO_ERROR_NULL);
    CHECK_TOLD(cortado_link(&method, NULL, &bank, 1), CORTADO_ERROR_NULL, CORTADO_PLACE_PARAMETER, 1);
    CHECK_TOLD(cortado_link(&method, &digits_linked, NULL, 1), CORTADO_ERROR_NULL, CORTADO_PLACE_PARAMETER, 2);
    CHECK_TOLD(cortado_link(&method, &digits_linked, &bank, 0), CORTADO_ERROR_ARENA_TOO_SMALL, CORTADO_PLACE_BANK, 0);
    bank.bytes--;
    CHECK_TOLD(cortado_link(&method, &digits_linked, &bank, 1), CORTADO_ERROR_ARENA_TOO_SMALL, CORTADO_PLACE_BANK, 0);
    bank.bytes = sizeof method;
    bank.data = &method;
    CHECK_TOLD(cortado_link(&method, &digits_linked, &bank, 1), CORTADO_ERROR_OVERLAP, CORTADO_PLACE_PARAMETER, 2);
    bank.data = arena;
    bank.bytes = DIGITS_ARENA_BYTES;

    /* Tables that are another version's, other kernels', another program's, or damaged. */
    cortado_linked changed = digits_linked;
    changed.state_version++;
    CHECK_TOLD(cortado_link(&method, &changed, &bank, 1), CORTADO_ERROR_VERSION, CORTADO_PLACE_PARAMETER, 1);
    CHECK_ERROR(cortado_execute(&method), CORTADO_ERROR_NOT_LOADED);
    CHECK_TOLD(cortado_link(&method, &foreign_linked, &bank, 1), CORTADO_ERROR_ISA, CORTADO_PLACE_PARAMETER, 1);
    changed = digits_linked;
    changed.constants = int8_linked.constants;
    changed.constants_bytes = int8_linked.constants_bytes;
    CHECK_TOLD(cortado_link(&method, &changed, &bank, 1), CORTADO_ERROR_PREPARED, CORTADO_PLACE_PARAMETER, 1);
    changed = digits_linked;
    changed.constants = (const uint8_t *)changed.constants + 4;
    CHECK_TOLD(cortado_link(&method, &changed, &bank, 1), CORTADO_ERROR_PROGRAM_MISALIGNED, CORTADO_PLACE_NONE, 0);
    changed = digits_linked;
    changed.state = NULL;
    CHECK_TOLD(cortado_link(&method, &changed, &bank, 1), CORTADO_ERROR_NULL, CORTADO_PLACE_PARAMETER, 1);
    for (size_t words = 0; words < digits_linked.state_words; words++) {
        changed = digits_linked;
        changed.state_words = words;
        CHECK_ERROR(cortado_link(&method, &changed, &bank, 1), CORTADO_ERROR_PREPARED);
    }
    changed = digits_linked;
    changed.kernel_count--;
    CHECK_ERROR(cortado_link(&method, &changed, &bank, 1), CORTADO_ERROR_PREPARED);
    cortado_kernel kernels[8];
    memcpy(kernels, digits_linked.kernels, digits_linked.kernel_count * sizeof kernels[0]);
    changed = digits_linked;
    changed.kernels = kernels;
    CHECK_ERROR(cortado_link(&method, &changed, &bank, 1), CORTADO_OK);
    kernels[0].state_words++;
    CHECK_ERROR(cortado_link(&method, &changed, &bank, 1), CORTADO_ERROR_PREPARED);
    kernels[0].state_words--;
    kernels[0].kind = 255;
    CHECK_ERROR(cortado_link(&method, &changed, &bank, 1), CORTADO_ERROR_PREPARED);
    kernels[0].kind = digits_linked.kernels[0].kind;
    kernels[0].execute = NULL;
    CHECK_ERROR(cortado_link(&method, &changed, &bank, 1), CORTADO_ERROR_PREPARED);
    release(arena);
    release(fast);
    release(slow);
    release(rest);
}

static void infos(void)
{
    static digits_state state;
    static digits_arena arena;
    cortado_tensor_info info;
    const uint32_t shape[] = DIGITS_INPUT0_SHAPE;
    const uint8_t order[] = DIGITS_INPUT0_DIM_ORDER;
    CHECK_ERROR(digits_load(&method, &state, &arena), CORTADO_OK);
    CHECK_ERROR(cortado_input_info(&method, 0, &info), CORTADO_OK);
    CHECK(info.dtype == CORTADO_FLOAT32 && info.dtype == DIGITS_INPUT0_DTYPE && info.rank == DIGITS_INPUT0_RANK);
    CHECK(memcmp(info.dims, shape, sizeof shape) == 0 && memcmp(info.dim_order, order, sizeof order) == 0);
    CHECK(info.dims[2] == 0 && info.bytes == DIGITS_INPUT0_BYTES && !info.is_lent && !info.is_quantized);
    CHECK_ERROR(cortado_output_info(&method, 0, &info), CORTADO_OK);
    CHECK(info.rank == DIGITS_OUTPUT0_RANK && info.bytes == DIGITS_OUTPUT0_BYTES);
    CHECK_TOLD(cortado_input_info(&method, 1, &info), CORTADO_ERROR_INDEX, CORTADO_PLACE_INPUT, 1);
    CHECK(info.rank == 0 && info.bytes == 0);
    CHECK_TOLD(cortado_output_info(&method, (size_t)-1, &info), CORTADO_ERROR_INDEX, CORTADO_PLACE_OUTPUT, UINT32_MAX);
    CHECK_TOLD(cortado_input_info(&method, 0, NULL), CORTADO_ERROR_NULL, CORTADO_PLACE_PARAMETER, 2);
    CHECK_TOLD(cortado_input_info(&method, 0, (cortado_tensor_info *)&method), CORTADO_ERROR_OVERLAP, CORTADO_PLACE_PARAMETER, 2);
}

static void integers_at_the_border(void)
{
    static int8_state state;
    static int8_arena arena;
    static int8_input0_element pixels[INT8_INPUT0_COUNT];
    cortado_tensor_info info;
    const void *output;
    int best = 0, expected = 0;
    CHECK_ERROR(int8_load(&method, &state, &arena), CORTADO_OK);
    CHECK_ERROR(cortado_input_info(&method, 0, &info), CORTADO_OK);
    CHECK(info.dtype == CORTADO_INT8 && info.is_quantized == 1);
    CHECK(info.scale == INT8_INPUT0_SCALE && info.zero_point == INT8_INPUT0_ZERO_POINT);
    CHECK_ERROR(cortado_output_info(&method, 0, &info), CORTADO_OK);
    CHECK(info.is_quantized == 1 && info.scale == INT8_OUTPUT0_SCALE && info.zero_point == INT8_OUTPUT0_ZERO_POINT);

    for (int i = 0; i < INT8_INPUT0_COUNT; i++) {
        float real = inputs[0][i] / INT8_INPUT0_SCALE + 0.5f;
        pixels[i] = (int8_t)((int)real + INT8_INPUT0_ZERO_POINT > 127 ? 127 : (int)real + INT8_INPUT0_ZERO_POINT);
    }
    CHECK_ERROR(cortado_set_input(&method, 0, pixels, sizeof pixels), CORTADO_OK);
    CHECK_ERROR(cortado_execute(&method), CORTADO_OK);
    CHECK_ERROR(cortado_output(&method, 0, &output, NULL), CORTADO_OK);
    const int8_t *scores = output;
    float floats[DIGITS_OUTPUT0_COUNT];
    memcpy(floats, outputs[0], sizeof floats);
    for (int digit = 1; digit < INT8_OUTPUT0_COUNT; digit++) {
        best = scores[digit] > scores[best] ? digit : best;
        expected = floats[digit] > floats[expected] ? digit : expected;
    }
    CHECK(best == expected);
}

static void lent_memory(void)
{
    static lent_state state;
    lent_arena *arena = take(sizeof *arena);
    lent_input0_memory *in = take(sizeof *in);
    lent_output0_memory *out = take(sizeof *out);
    cortado_bytes read[2] = {{in, LENT_INPUT0_BYTES}, {in, LENT_INPUT0_BYTES}};
    cortado_memory written[2] = {{out, LENT_OUTPUT0_BYTES}, {out, LENT_OUTPUT0_BYTES}};
    cortado_tensor_info info;
    const void *output;
    void *input;
    CHECK_ERROR(lent_load(&method, &state, arena), CORTADO_OK);
    CHECK_ERROR(cortado_input_info(&method, 0, &info), CORTADO_OK);
    CHECK(info.is_lent == 1);
    CHECK_ERROR(cortado_output_info(&method, 0, &info), CORTADO_OK);
    CHECK(info.is_lent == 1);
    for (size_t n = 0; n < SAMPLES; n++) {
        memcpy(in, inputs[n], LENT_INPUT0_BYTES);
        memset(out, 0, LENT_OUTPUT0_BYTES);
        CHECK_ERROR(cortado_execute_with(&method, read, 1, written, 1), CORTADO_OK);
        CHECK(memcmp(out, outputs[n], LENT_OUTPUT0_BYTES) == 0);
    }

    CHECK_TOLD(cortado_execute(&method), CORTADO_ERROR_LENT_COUNT, CORTADO_PLACE_NONE, 0);
    CHECK(told().needed == 2 && told().given == 0);
    CHECK_TOLD(cortado_input(&method, 0, &input, NULL), CORTADO_ERROR_LENT, CORTADO_PLACE_INPUT, 0);
    CHECK(input == NULL);
    CHECK_TOLD(cortado_set_input(&method, 0, in, LENT_INPUT0_BYTES), CORTADO_ERROR_LENT, CORTADO_PLACE_INPUT, 0);
    CHECK_TOLD(cortado_output(&method, 0, &output, NULL), CORTADO_ERROR_LENT, CORTADO_PLACE_OUTPUT, 0);
    CHECK_TOLD(cortado_execute_with(&method, NULL, 1, written, 1), CORTADO_ERROR_NULL, CORTADO_PLACE_PARAMETER, 1);
    CHECK_TOLD(cortado_execute_with(&method, read, 1, NULL, 1), CORTADO_ERROR_NULL, CORTADO_PLACE_PARAMETER, 3);
    CHECK_TOLD(cortado_execute_with(&method, read, 9, written, 1), CORTADO_ERROR_VALUE, CORTADO_PLACE_PARAMETER, 2);
    CHECK_TOLD(cortado_execute_with(&method, read, 2, written, 1), CORTADO_ERROR_LENT_COUNT, CORTADO_PLACE_NONE, 0);
    CHECK_TOLD(cortado_execute_with(&method, read, 1, written, 2), CORTADO_ERROR_OVERLAP, CORTADO_PLACE_PARAMETER, 3);
    read[0].bytes -= 4;
    CHECK_TOLD(cortado_execute_with(&method, read, 1, written, 1), CORTADO_ERROR_LENT_LENGTH, CORTADO_PLACE_LENT, 0);
    CHECK(told().needed == LENT_INPUT0_BYTES && told().given == LENT_INPUT0_BYTES - 4);
    read[0].bytes = (size_t)1 << 31;
    CHECK_TOLD(cortado_execute_with(&method, read, 1, written, 1), CORTADO_ERROR_SIZE, CORTADO_PLACE_PARAMETER, 1);
    read[0].data = NULL;
    read[0].bytes = LENT_INPUT0_BYTES;
    CHECK_TOLD(cortado_execute_with(&method, read, 1, written, 1), CORTADO_ERROR_NULL, CORTADO_PLACE_PARAMETER, 1);
    read[0].data = in;
    written[0].data = (uint8_t *)out + 4;
    CHECK_TOLD(cortado_execute_with(&method, read, 1, written, 1), CORTADO_ERROR_LENT_MISALIGNED, CORTADO_PLACE_LENT, 1);
    /* An output in memory that is something else: the input, the arena, the state, the program, the method. */
    void *const others[] = {in, arena, &state, (void *)(uintptr_t)lent_program, &method};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        written[0].data = others[i];
        CHECK_TOLD(cortado_execute_with(&method, read, 1, written, 1), CORTADO_ERROR_OVERLAP, CORTADO_PLACE_PARAMETER, 3);
    }
    written[0].data = out;
    read[0].data = arena;
    CHECK_TOLD(cortado_execute_with(&method, read, 1, written, 1), CORTADO_ERROR_OVERLAP, CORTADO_PLACE_PARAMETER, 1);
    read[0].data = in;
    CHECK_ERROR(cortado_execute_with(&method, read, 1, written, 1), CORTADO_OK);
    release(arena);
    release(in);
    release(out);
}

static void banks(void)
{
    static banks_state state;
    banks_fast *fast = take(sizeof *fast);
    banks_slow *slow = take(sizeof *slow);
    cortado_memory list[9] = {{fast, BANKS_FAST_BYTES}, {slow, BANKS_SLOW_BYTES}};
    const void *output;
    CHECK_ERROR(banks_load(&method, &state, fast, slow), CORTADO_OK);
    CHECK_ERROR(cortado_set_input(&method, 0, inputs[0], sizeof inputs[0]), CORTADO_OK);
    CHECK_ERROR(cortado_execute(&method), CORTADO_OK);
    CHECK_ERROR(cortado_output(&method, 0, &output, NULL), CORTADO_OK);
    CHECK(memcmp(output, outputs[0], BANKS_OUTPUT0_BYTES) == 0);

#define LOAD(bank_list, bank_count)                                                                                                      \
    cortado_load(&method, banks_program, BANKS_PROGRAM_BYTES, CORTADO_REFUSE, &state, sizeof state, bank_list, bank_count)
    CHECK_ERROR(LOAD(list, 9), CORTADO_ERROR_VALUE);
    CHECK_ERROR(LOAD(NULL, 2), CORTADO_ERROR_NULL);
    CHECK_TOLD(LOAD(list, 1), CORTADO_ERROR_ARENA_TOO_SMALL, CORTADO_PLACE_BANK, 1);
    CHECK_TOLD(LOAD(NULL, 0), CORTADO_ERROR_ARENA_TOO_SMALL, CORTADO_PLACE_BANK, 0);
    list[1].bytes--;
    CHECK_TOLD(LOAD(list, 2), CORTADO_ERROR_ARENA_TOO_SMALL, CORTADO_PLACE_BANK, 1);
    CHECK(told().needed == BANKS_SLOW_BYTES && told().given == BANKS_SLOW_BYTES - 1);
    list[1].bytes++;
    list[1].data = fast;
    CHECK_TOLD(LOAD(list, 2), CORTADO_ERROR_OVERLAP, CORTADO_PLACE_PARAMETER, 6);
    list[1].data = (uint8_t *)slow + 4;
    list[1].bytes = BANKS_SLOW_BYTES;
    CHECK_TOLD(LOAD(list, 2), CORTADO_ERROR_ARENA_MISALIGNED, CORTADO_PLACE_BANK, 1);
    list[1].data = NULL;
    CHECK_TOLD(LOAD(list, 2), CORTADO_ERROR_NULL, CORTADO_PLACE_PARAMETER, 6);
    CHECK_ERROR(LOAD((const cortado_memory *)((uintptr_t)list + 1), 1), CORTADO_ERROR_MISALIGNED);
#undef LOAD
    release(fast);
    release(slow);
}

/* Loads digits with what differs from the right thing. */
static cortado_error load(const void *program, size_t program_bytes, cortado_policy policy, void *state, size_t state_bytes, void *arena,
                          size_t arena_bytes)
{
    cortado_memory bank = {arena, arena_bytes};
    return cortado_load(&method, program, program_bytes, policy, state, state_bytes, &bank, 1);
}

static void refusals(void)
{
    static digits_state state;
    static digits_arena arena;
    const size_t all = DIGITS_PROGRAM_BYTES, needed = DIGITS_STATE_BYTES, size = DIGITS_ARENA_BYTES;
    char text[300], short_text[20];

    CHECK_ERROR(load(digits_program, all, CORTADO_REFUSE, &state, needed, &arena, size), CORTADO_OK);
    CHECK_TOLD(load(NULL, all, 0, &state, needed, &arena, size), CORTADO_ERROR_NULL, CORTADO_PLACE_PARAMETER, 1);
    CHECK_TOLD(load(digits_program, all, 2, &state, needed, &arena, size), CORTADO_ERROR_VALUE, CORTADO_PLACE_PARAMETER, 3);
    CHECK_TOLD(load(digits_program, all, 0, NULL, needed, &arena, size), CORTADO_ERROR_NULL, CORTADO_PLACE_PARAMETER, 4);
    CHECK_TOLD(load(digits_program, all, 0, (char *)&state + 1, needed - 4, &arena, size), CORTADO_ERROR_MISALIGNED,
               CORTADO_PLACE_PARAMETER, 4);
    CHECK_TOLD(load(digits_program, all, 0, &state, needed, NULL, size), CORTADO_ERROR_NULL, CORTADO_PLACE_PARAMETER, 6);
    CHECK_TOLD(load(digits_program, all, 0, &state, needed, &arena, (size_t)-64), CORTADO_ERROR_SIZE, CORTADO_PLACE_PARAMETER, 6);
    CHECK_TOLD(load(digits_program, all, 0, &state, needed, &state, needed), CORTADO_ERROR_OVERLAP, CORTADO_PLACE_PARAMETER, 6);
    CHECK_TOLD(load(digits_program, all, 0, &state, needed, &method, sizeof method), CORTADO_ERROR_OVERLAP, CORTADO_PLACE_PARAMETER, 6);
    CHECK_TOLD(load(digits_program, all, 0, (void *)(uintptr_t)digits_program, needed, &arena, size), CORTADO_ERROR_OVERLAP,
               CORTADO_PLACE_PARAMETER, 4);

    CHECK_TOLD(load(digits_program, all, 0, &state, needed, &arena, size - 1), CORTADO_ERROR_ARENA_TOO_SMALL, CORTADO_PLACE_BANK, 0);
    CHECK(told().needed == size && told().given == size - 1);
    CHECK_TOLD(load(digits_program, all, 0, &state, needed - 1, &arena, size), CORTADO_ERROR_STATE_TOO_SMALL, CORTADO_PLACE_NONE, 0);
    CHECK(told().needed == needed && told().given == needed - 4);
    CHECK_TOLD(load(digits_program + 4, all - 4, 0, &state, needed, &arena, size), CORTADO_ERROR_PROGRAM_MISALIGNED, CORTADO_PLACE_NONE, 0);
    CHECK_TOLD(load(&arena, size, 0, &state, needed, text, 0), CORTADO_ERROR_FORMAT, CORTADO_PLACE_NONE, 0);

    /* A refused method is none, and says why in words. */
    CHECK_ERROR(cortado_execute(&method), CORTADO_ERROR_NOT_LOADED);
    CHECK(cortado_input_count(&method) == 0);
    CHECK(told().error == CORTADO_ERROR_FORMAT);

    /* A program for a core whose layers have other constants. */
    static foreign_state foreign;
    static foreign_arena foreign_memory;
    CHECK_ERROR(foreign_load(&method, &foreign, &foreign_memory), CORTADO_ERROR_LAYOUT);
    CHECK(told().place == CORTADO_PLACE_INSTRUCTION);
    size_t length = cortado_explain(&method, text, sizeof text);
    CHECK(length == strlen(text) && strstr(text, "cortex_m::quantized_linear") != NULL && strstr(text, FOREIGN_CPU) != NULL);
    CHECK(cortado_explain(&method, short_text, sizeof short_text) == length && strlen(short_text) == sizeof short_text - 1);
    CHECK(strncmp(text, short_text, sizeof short_text - 1) == 0);
    CHECK(cortado_explain(&method, NULL, 100) == length && cortado_explain(&method, text, 0) == length);
    CHECK(cortado_explain(NULL, text, sizeof text) == 0 && text[0] == 0);

    /* Adapted, it computes the same. */
    const void *output;
    CHECK_ERROR(load(foreign_program, FOREIGN_PROGRAM_BYTES, CORTADO_ADAPT, &foreign, sizeof foreign, &foreign_memory,
                     sizeof foreign_memory), CORTADO_OK);
    CHECK_ERROR(cortado_set_input(&method, 0, inputs[1], sizeof inputs[1]), CORTADO_OK);
    CHECK_ERROR(cortado_execute(&method), CORTADO_OK);
    CHECK_ERROR(cortado_output(&method, 0, &output, NULL), CORTADO_OK);
    CHECK(memcmp(output, outputs[1], FOREIGN_OUTPUT0_BYTES) == 0);
}

/* Every cut and many changes of the file are refused or computed without touching what is not the method's: the sanitizers see it. */
static void damaged_files(void)
{
    digits_state *state = take(sizeof *state);
    digits_arena *arena = take(sizeof *arena);
    unsigned refused = 0;
    for (size_t bytes = 0; bytes < DIGITS_PROGRAM_BYTES; bytes += 97) {
        uint8_t *cut = take(bytes + 1);
        memcpy(cut, digits_program, bytes);
        refused += load(cut, bytes, CORTADO_REFUSE, state, DIGITS_STATE_BYTES, arena, DIGITS_ARENA_BYTES) != CORTADO_OK;
        release(cut);
    }
    CHECK(refused == (DIGITS_PROGRAM_BYTES + 96) / 97);
    uint8_t *copy = take(DIGITS_PROGRAM_BYTES);
    memcpy(copy, digits_program, DIGITS_PROGRAM_BYTES);
    for (size_t at = 0; at < 1800; at += 3) {
        copy[at] ^= 0x41;
        if (load(copy, DIGITS_PROGRAM_BYTES, CORTADO_REFUSE, state, DIGITS_STATE_BYTES, arena, DIGITS_ARENA_BYTES) == CORTADO_OK) {
            void *input;
            size_t bytes;
            if (cortado_input(&method, 0, &input, &bytes) == CORTADO_OK) {
                memset(input, 1, bytes);
            }
            (void)cortado_execute(&method);
        }
        copy[at] ^= 0x41;
    }
    CHECK_ERROR(load(copy, DIGITS_PROGRAM_BYTES, CORTADO_REFUSE, state, DIGITS_STATE_BYTES, arena, DIGITS_ARENA_BYTES), CORTADO_OK);
    release(copy);
    release(state);
    release(arena);
}

static void wrong_order(void)
{
    static digits_state state;
    static digits_arena arena;
    static cortado_method other;
    const void *output;
    size_t bytes;
    void *input;
    cortado_failure failure;

    CHECK_ERROR(cortado_execute(NULL), CORTADO_ERROR_NULL);
    CHECK_ERROR(cortado_execute((cortado_method *)((uintptr_t)&other + 4)), CORTADO_ERROR_MISALIGNED);
    CHECK_ERROR(cortado_execute(&other), CORTADO_ERROR_NOT_LOADED);
    CHECK_ERROR(cortado_last_failure(&other, &failure), CORTADO_ERROR_NOT_LOADED);
    CHECK(failure.error == CORTADO_ERROR_NOT_LOADED);
    CHECK_ERROR(cortado_last_failure(&other, NULL), CORTADO_ERROR_NULL);
    CHECK_ERROR(digits_load(NULL, &state, &arena), CORTADO_ERROR_NULL);

    CHECK_ERROR(digits_load(&method, &state, &arena), CORTADO_OK);
    CHECK_TOLD(cortado_execute(&method), CORTADO_ERROR_INPUT_NOT_SET, CORTADO_PLACE_INPUT, 0);
    CHECK_TOLD(cortado_output(&method, 0, &output, &bytes), CORTADO_ERROR_NOT_EXECUTED, CORTADO_PLACE_OUTPUT, 0);
    CHECK(output == NULL && bytes == 0);
    CHECK_TOLD(cortado_set_input(&method, 0, inputs[0], sizeof inputs[0] - 1), CORTADO_ERROR_LENGTH, CORTADO_PLACE_INPUT, 0);
    CHECK(told().needed == DIGITS_INPUT0_BYTES && told().given == DIGITS_INPUT0_BYTES - 1);
    CHECK_TOLD(cortado_set_input(&method, 0, NULL, sizeof inputs[0]), CORTADO_ERROR_NULL, CORTADO_PLACE_PARAMETER, 2);
    CHECK_TOLD(cortado_set_input(&method, 7, inputs[0], sizeof inputs[0]), CORTADO_ERROR_INDEX, CORTADO_PLACE_INPUT, 7);
    CHECK_TOLD(cortado_input(&method, 0, NULL, NULL), CORTADO_ERROR_NULL, CORTADO_PLACE_PARAMETER, 2);
    CHECK_TOLD(cortado_execute(&method), CORTADO_ERROR_INPUT_NOT_SET, CORTADO_PLACE_INPUT, 0);
    CHECK_ERROR(cortado_set_input(&method, 0, inputs[0], sizeof inputs[0]), CORTADO_OK);
    CHECK_ERROR(cortado_execute(&method), CORTADO_OK);
    CHECK_ERROR(cortado_output(&method, 0, &output, NULL), CORTADO_OK);
    CHECK_TOLD(cortado_output(&method, 1, &output, NULL), CORTADO_ERROR_INDEX, CORTADO_PLACE_OUTPUT, 1);
    /* Inputs are set for one execution. */
    CHECK_TOLD(cortado_execute(&method), CORTADO_ERROR_INPUT_NOT_SET, CORTADO_PLACE_INPUT, 0);
    /* An input may come from where outputs are, and overlap them. */
    CHECK_ERROR(cortado_input(&method, 0, &input, &bytes), CORTADO_OK);
    CHECK_ERROR(cortado_set_input(&method, 0, input, bytes), CORTADO_OK);
    CHECK_TOLD(cortado_output(&method, 0, &output, NULL), CORTADO_ERROR_NOT_EXECUTED, CORTADO_PLACE_OUTPUT, 0);
    /* No lent memory is taken by a program that has none. */
    cortado_bytes lent = {inputs[0], sizeof inputs[0]};
    CHECK_TOLD(cortado_execute_with(&method, &lent, 1, NULL, 0), CORTADO_ERROR_LENT_COUNT, CORTADO_PLACE_NONE, 0);
    CHECK_ERROR(cortado_execute_with(&method, NULL, 0, NULL, 0), CORTADO_OK);

    /* A copy of a method is none. */
    memcpy(&other, &method, sizeof other);
    CHECK_ERROR(cortado_execute(&other), CORTADO_ERROR_NOT_LOADED);
    CHECK_ERROR(digits_load(&other, &state, &arena), CORTADO_OK);
}

#ifdef __arm__
static volatile unsigned interrupts, busy, answered;

/* The timer's interrupt, which calls into whatever main is doing. */
void systick(void)
{
    cortado_failure failure;
    const cortado_error error = cortado_last_failure(&method, &failure);
    interrupts++;
    busy += error == CORTADO_ERROR_BUSY && cortado_execute(&method) == CORTADO_ERROR_BUSY;
    answered += error == CORTADO_OK;
}

static void interrupted(void)
{
    static digits_state state;
    static digits_arena arena;
    volatile uint32_t *const timer = (volatile uint32_t *)0xe000e010;
    const void *output;
    unsigned right = 0;
    CHECK_ERROR(digits_load(&method, &state, &arena), CORTADO_OK);
    timer[1] = 97;
    timer[0] = 7;
    for (unsigned n = 0; n < 20; n++) {
        right += cortado_set_input(&method, 0, inputs[0], sizeof inputs[0]) == CORTADO_OK && cortado_execute(&method) == CORTADO_OK &&
                 cortado_output(&method, 0, &output, NULL) == CORTADO_OK && memcmp(output, outputs[0], DIGITS_OUTPUT0_BYTES) == 0;
    }
    timer[0] = 0;
    CHECK(right == 20 && interrupts > 20 && busy > 10);
    CHECK(busy + answered == interrupts);
}
#endif

int main(void)
{
    names_and_versions();
    requirements();
    right_answers();
    linked_programs();
    infos();
    integers_at_the_border();
    lent_memory();
    banks();
    refusals();
    damaged_files();
    wrong_order();
#ifdef __arm__
    interrupted();
#endif
    printf("%s %u\n", failed == 0 ? "passed" : "FAILED", failed == 0 ? passed : failed);
    return failed != 0;
}
