/*
 * cortado.h: runs a compiled PyTorch model (a `.pte` program) on an Arm Cortex-M.
 *
 *     CORTADO_ALIGNED(16) static uint8_t arena[ARENA_BYTES];
 *     static uint32_t state[STATE_BYTES / 4];
 *     static cortado_method method;
 *
 *     cortado_memory bank = {arena, sizeof arena};
 *     cortado_error error = cortado_load(&method, program, program_bytes, CORTADO_REFUSE, state, sizeof state, &bank, 1);
 *     if (error != CORTADO_OK) { puts(cortado_error_name(error)); }
 *
 *     cortado_set_input(&method, 0, samples, sizeof samples);
 *     cortado_execute(&method);
 *     cortado_output(&method, 0, &scores, &scores_bytes);
 *
 * `cortado compile --c-header` writes a header beside the program that knows all these sizes, and a function that loads it.
 *
 * Loading checks everything once: the file, the target that it was made for, every operator's arguments, memory and layout. A program is
 * computed exactly or refused. Executing then looks nothing up. Nothing here allocates, prints, or keeps anything outside of the
 * memory that it is given; all memory is the caller's and is described at each function.
 *
 * Wrong use is an error code wherever it can be noticed: null pointers, lengths, alignment, overlapping memory, a method that was
 * not loaded, was copied elsewhere, or is already executing. What cannot be noticed is the caller's to get right:
 *
 *  - a pointer and its length must describe memory that exists, readable, and writable where it is not `const`;
 *  - a `cortado_method` that was never loaded must not hold something else: let it be static, or clear it;
 *  - program, state and arena belong to the method from `cortado_load` until it is not used any more: nobody else writes them, apart from
 *    inputs through the pointer that `cortado_input` gives, and they do not go away before the method;
 *  - one method is used by one thread at a time. An interrupt that calls into a method which is executing is told CORTADO_ERROR_BUSY;
 *    threads on several cores are not told apart.
 *
 * C99 or later, or C++11 or later. SPDX-License-Identifier: MIT OR Apache-2.0
 */
#ifndef CORTADO_H
#define CORTADO_H

#include <stddef.h>
#include <stdint.h>

/* The version of this header. The library's is cortado_version(). */
#define CORTADO_VERSION_MAJOR 0
#define CORTADO_VERSION_MINOR 1
#define CORTADO_VERSION_PATCH 0

/* Bytes to whose multiples a program's file, the banks of its arena, and lent inputs and outputs must be aligned. */
#define CORTADO_ALIGNMENT 16
/* The most banks that an arena may have. */
#define CORTADO_BANKS_MAX 8
/* The most axes that a tensor may have. */
#define CORTADO_RANK_MAX 6

/* Starts a declaration of memory that is aligned: `CORTADO_ALIGNED(16) static uint8_t arena[1024];` */
#if defined(__cplusplus)
#define CORTADO_ALIGNED(bytes) alignas(bytes)
#elif defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L
#define CORTADO_ALIGNED(bytes) _Alignas(bytes)
#elif defined(__GNUC__)
#define CORTADO_ALIGNED(bytes) __attribute__((aligned(bytes)))
#else
#error "cortado.h needs C11, C++11 or a compiler that takes __attribute__((aligned)): define CORTADO_ALIGNED here for yours"
#endif

/* A condition that must hold when the firmware is built. */
#if defined(__cplusplus)
#define CORTADO_STATIC_ASSERT(condition, message) static_assert(condition, message)
#elif defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L
#define CORTADO_STATIC_ASSERT(condition, message) _Static_assert(condition, message)
#else
#define CORTADO_STATIC_ASSERT_NAME(line) cortado_static_assert_##line
#define CORTADO_STATIC_ASSERT_AT(condition, line) extern char CORTADO_STATIC_ASSERT_NAME(line)[(condition) ? 1 : -1]
#define CORTADO_STATIC_ASSERT(condition, message) CORTADO_STATIC_ASSERT_AT(condition, __LINE__)
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ------------------------------------------------------------------------------------------------------------------ errors */

/*
 * CORTADO_OK, or what went wrong. Numbers do not change between versions; new ones may be added.
 *
 * The lines say what cortado_last_failure tells besides: the place, and what `needed` and `given` count where they say something.
 */
typedef int32_t cortado_error;
enum {
    CORTADO_OK = 0,

    /* Calls that are wrong by themselves. */

    /* A pointer is null. Parameter. */
    CORTADO_ERROR_NULL = 1,
    /* A pointer is not aligned for what it points to: the method to 8 bytes, the state and lists of memory to their words. Parameter. */
    CORTADO_ERROR_MISALIGNED = 2,
    /* A length reaches beyond the address space, or is 2 GiB or more. Parameter. */
    CORTADO_ERROR_SIZE = 3,
    /* Two pieces of memory have bytes in common: program, state, banks, the method itself, lent inputs and outputs. Parameter. */
    CORTADO_ERROR_OVERLAP = 4,
    /* A number is none of the constants that the parameter takes. Parameter. */
    CORTADO_ERROR_VALUE = 5,
    /* The method was not loaded, was refused when it was, or was copied to another place since. */
    CORTADO_ERROR_NOT_LOADED = 6,
    /* The method is executing: this call comes from an interrupt. */
    CORTADO_ERROR_BUSY = 7,

    /* Memory that does not suit the program. */

    /* The program's file does not start at a multiple of CORTADO_ALIGNMENT. */
    CORTADO_ERROR_PROGRAM_MISALIGNED = 16,
    /* A bank of the arena does not start at a multiple of CORTADO_ALIGNMENT. Bank. */
    CORTADO_ERROR_ARENA_MISALIGNED = 17,
    /* A bank of the arena is too small, or not given. Bank, bytes. */
    CORTADO_ERROR_ARENA_TOO_SMALL = 18,
    /* The state is too small. Bytes. */
    CORTADO_ERROR_STATE_TOO_SMALL = 19,

    /* Programs that are refused. */

    /* The file is not a sound program: damaged, cut short, or none at all. */
    CORTADO_ERROR_FORMAT = 32,
    /* What the file says about its target cannot be believed. */
    CORTADO_ERROR_STAMP = 33,
    /* The program uses a part of the format that this runtime does not have. */
    CORTADO_ERROR_UNSUPPORTED = 34,
    /* Constants are in the form that another instruction set's kernels read: the program was made for another core. Compile or retarget
       it, or load it with CORTADO_ADAPT. Instruction. */
    CORTADO_ERROR_LAYOUT = 35,
    /* Constants are in a form that the program's own target denies. Instruction. */
    CORTADO_ERROR_CONTRADICTS_STAMP = 36,
    /* Constants of several layers are in different forms. Instruction. */
    CORTADO_ERROR_MIXED_FORMS = 37,
    /* This library has no operator of that name. Instruction. */
    CORTADO_ERROR_OPERATOR_UNKNOWN = 38,
    /* The library was built without this operator, which computes in float (`cargo xtask c-lib --float`). Instruction. */
    CORTADO_ERROR_OPERATOR_NOT_BUILT = 39,
    /* An argument cannot be served: its kind, type, extents, range or memory. Instruction, input or output; argument. */
    CORTADO_ERROR_ARGUMENT = 40,
    /* A rule of the operator is broken. Instruction, argument. */
    CORTADO_ERROR_RULE = 41,
    /* The memory plan is wrong: something is read that is not there any more, or not yet. Instruction, input or output; argument. */
    CORTADO_ERROR_MEMORY_PLAN = 42,

    /* Programs that are linked. */

    /* The program was prepared for another version of the library: compile the model again. Parameter. */
    CORTADO_ERROR_VERSION = 48,
    /* The program was compiled for kernels of another instruction set than this library's. Parameter. */
    CORTADO_ERROR_ISA = 49,
    /* The program's tables are not what `cortado compile` wrote, or its constants are another program's. Parameter. */
    CORTADO_ERROR_PREPARED = 50,

    /* Inputs, outputs and executions. */

    /* There is no input or output of this position. Input or output. */
    CORTADO_ERROR_INDEX = 64,
    /* The input has another size. Input, bytes. */
    CORTADO_ERROR_LENGTH = 65,
    /* The memory of this input or output is the caller's, lent to cortado_execute_with. Input or output. */
    CORTADO_ERROR_LENT = 66,
    /* There are no outputs: the method has not been executed since its inputs were set. Output. */
    CORTADO_ERROR_NOT_EXECUTED = 67,
    /* An input has not been set since the last execution, which may have used its memory. Input. */
    CORTADO_ERROR_INPUT_NOT_SET = 68,
    /* The program takes another number of lent inputs or outputs. Counts of both together. */
    CORTADO_ERROR_LENT_COUNT = 69,
    /* Lent memory has another size. Lent memory, bytes. */
    CORTADO_ERROR_LENT_LENGTH = 70,
    /* Lent memory does not start at a multiple of CORTADO_ALIGNMENT. Lent memory. */
    CORTADO_ERROR_LENT_MISALIGNED = 71,

    /* A defect of this library; please report it. */
    CORTADO_ERROR_INTERNAL = 127
};

/* What a failure is about; the number that goes with it is `cortado_failure.index`. */
typedef int32_t cortado_place;
enum {
    CORTADO_PLACE_NONE = 0,
    /* A parameter of the function, counted from 0. */
    CORTADO_PLACE_PARAMETER = 1,
    /* A bank of the arena. */
    CORTADO_PLACE_BANK = 2,
    /* An instruction of the program, in the order of `cortado dump`. */
    CORTADO_PLACE_INSTRUCTION = 3,
    /* An input. */
    CORTADO_PLACE_INPUT = 4,
    /* An output. */
    CORTADO_PLACE_OUTPUT = 5,
    /* Lent memory, counted through inputs first, then outputs. */
    CORTADO_PLACE_LENT = 6
};

/* A failure with its place. */
typedef struct cortado_failure {
    /* The code that the function returned. */
    cortado_error error;
    /* What it is about. */
    cortado_place place;
    /* Its position; 0 where there is no place. */
    uint32_t index;
    /* The position of the argument in the operator's schema, or -1. */
    int32_t argument;
    /* What was needed and what was given, where the error is about sizes; else 0. */
    uint32_t needed;
    uint32_t given;
} cortado_failure;

/* The name of an error, such as "CORTADO_ERROR_LAYOUT"; "CORTADO_ERROR_?" for a number that is none. Never null. */
const char *cortado_error_name(cortado_error error);

/* ------------------------------------------------------------------------------------------------------------------ memory */

/* A piece of memory. */
typedef struct cortado_memory {
    void *data;
    size_t bytes;
} cortado_memory;

/* A piece of memory that is only read. */
typedef struct cortado_bytes {
    const void *data;
    size_t bytes;
} cortado_bytes;

/* What a program needs. */
typedef struct cortado_needs {
    /* Bytes of state: its prepared operators. Aligned to 4. */
    uint32_t state_bytes;
    /* Bytes of all banks together. */
    uint32_t arena_bytes;
    /* The number of banks; one for most programs. */
    uint32_t bank_count;
    /* Bytes of each bank. Aligned to CORTADO_ALIGNMENT. */
    uint32_t bank_bytes[CORTADO_BANKS_MAX];
} cortado_needs;

/*
 * What a program needs; `program` is aligned to CORTADO_ALIGNMENT.
 *
 * Fails as cortado_load does where the file cannot be read; `needs` is all 0 then.
 */
cortado_error cortado_requirements(const void *program, size_t program_bytes, cortado_needs *needs);

/* ------------------------------------------------------------------------------------------------------------------ method */

/* The size of a cortado_method. */
#if UINTPTR_MAX > 0xffffffffu
#define CORTADO_METHOD_BYTES 768
#else
#define CORTADO_METHOD_BYTES 448
#endif

/* A loaded program. Its content is the library's. It must stay where it was loaded. */
typedef struct cortado_method {
    uint64_t opaque[CORTADO_METHOD_BYTES / 8];
} cortado_method;

/* What to do with a program whose constants are in the form that another instruction set's kernels read. */
typedef int32_t cortado_policy;
enum {
    /* Refuse it: that is most likely a mistake. */
    CORTADO_REFUSE = 0,
    /* Compute it exactly, from the form that is there: the same answers, in more time. */
    CORTADO_ADAPT = 1
};

/*
 * Loads a program: checks all of it and prepares its operators.
 *
 * `program` is read in place for as long as the method is used, usually from flash; aligned to CORTADO_ALIGNMENT. `state` and `banks` are as
 * large as cortado_requirements says or larger, and are used for as long. The list `banks` itself is only read during the call.
 * What the memory holds before does not matter.
 *
 * After a failure, cortado_last_failure and cortado_explain tell more. A method may be loaded again at any time.
 */
cortado_error cortado_load(cortado_method *method, const void *program, size_t program_bytes, cortado_policy policy, void *state,
                           size_t state_bytes, const cortado_memory *banks, size_t bank_count);

/*
 * A program that was loaded when it was compiled. `cortado compile --c-header` writes it; with it, firmware has just the kernels that the program
 * uses, nothing that reads files, and the method's state in flash.
 */
#define CORTADO_STATE_VERSION 2

/* A kernel in a program's table; its function is one of the library's, of which only the library knows the type. */
typedef struct cortado_kernel {
    uint8_t kind;
    uint8_t state_words;
    uint16_t forms;
    void (*execute)(void);
} cortado_kernel;

typedef struct cortado_linked {
    /* CORTADO_STATE_VERSION when it was compiled. */
    uint32_t state_version;
    /* The kernels that it was compiled for: 0 scalar, 1 DSP, 2 Helium. */
    uint32_t isa;
    /* A digest of constants and state, low word first: cortado_link reads all of them once, so that no table goes with another program. */
    uint32_t digest[2];
    /* The program's constants, aligned to CORTADO_ALIGNMENT. */
    const void *constants;
    size_t constants_bytes;
    /* What loading prepares. */
    const uint32_t *state;
    size_t state_words;
    const cortado_kernel *kernels;
    size_t kernel_count;
} cortado_linked;

/*
 * Makes a method of a linked program; `banks` is as for cortado_load. The tables must stay as long as the method is used, usually in flash,
 * and be what `cortado compile` wrote: sizes, numbers, versions and the digest are checked, the kernels' functions cannot be.
 *
 * What integers stand for is in the program's header only; cortado_input_info does not say it of a linked program.
 */
cortado_error cortado_link(cortado_method *method, const cortado_linked *program, const cortado_memory *banks, size_t bank_count);

/* The last call of this method that failed, since it was loaded or refused; `failure->error` is CORTADO_OK when none has. */
cortado_error cortado_last_failure(cortado_method *method, cortado_failure *failure);

/*
 * Writes what cortado_last_failure tells as a sentence, with the operator's and its argument's name, and a 0 behind it; cut short where
 * `text` has no room. Returns the bytes of the whole sentence without the 0, 0 when there is nothing to tell.
 *
 * This is for consoles. It links several kilobytes of text and formatting, which firmware that does not call it goes without.
 */
size_t cortado_explain(cortado_method *method, char *text, size_t text_bytes);

/* ------------------------------------------------------------------------------------------------------ inputs and outputs */

/* The element type of a tensor; the numbers are those of ExecuTorch. */
typedef int32_t cortado_dtype;
enum {
    CORTADO_UINT8 = 0,
    CORTADO_INT8 = 1,
    CORTADO_INT16 = 2,
    CORTADO_INT32 = 3,
    CORTADO_INT64 = 4,
    CORTADO_FLOAT32 = 6,
    CORTADO_FLOAT64 = 7,
    CORTADO_BOOL = 11
};

/* An input or output. */
typedef struct cortado_tensor_info {
    cortado_dtype dtype;
    /* The number of axes. */
    uint32_t rank;
    /* The extents in logical order (NCHW for images); 0 past the last axis. */
    uint32_t dims[CORTADO_RANK_MAX];
    /* The axes in memory order, outermost first: 0, 2, 3, 1 is NHWC memory. 0 past the last axis. */
    uint8_t dim_order[8];
    /* The size of all elements. */
    uint32_t bytes;
    /* 1 if its memory is the caller's, lent to cortado_execute_with. */
    uint8_t is_lent;
    /* 1 if the program says what its integers stand for: real = scale * (integer - zero_point). */
    uint8_t is_quantized;
    /* 0. */
    uint8_t reserved[2];
    /* 0 if the program does not say. */
    float scale;
    int32_t zero_point;
} cortado_tensor_info;

/* The number of inputs; 0 for a method that was not loaded. */
size_t cortado_input_count(cortado_method *method);
/* The number of outputs; 0 for a method that was not loaded. */
size_t cortado_output_count(cortado_method *method);

/* Type, extents and quantization of an input or output. */
cortado_error cortado_input_info(cortado_method *method, size_t index, cortado_tensor_info *info);
cortado_error cortado_output_info(cortado_method *method, size_t index, cortado_tensor_info *info);

/*
 * Copies an input in, element after element in memory order; `bytes` is just its size. `data` may be one of the method's own outputs.
 *
 * Outputs may have lain in the same memory: there are none from here on until the next execution.
 */
cortado_error cortado_set_input(cortado_method *method, size_t index, const void *data, size_t bytes);

/*
 * The memory of an input, to fill it in place instead: `*data` is aligned for its elements, and `bytes` may be null. It counts as set from
 * here on, and there are no outputs until the next execution. The pointer is good for one execution: ask again before the next.
 */
cortado_error cortado_input(cortado_method *method, size_t index, void **data, size_t *bytes);

/* Computes the outputs. Each input must have been set since the last execution. */
cortado_error cortado_execute(cortado_method *method);

/*
 * As cortado_execute, for a program whose inputs or outputs are in memory of the caller's (`cortado compile --lend`): `inputs` and `outputs` are
 * the lent ones only, in the program's order, each aligned to CORTADO_ALIGNMENT and of just its size. They are used for this one
 * execution. Lists of none may be null.
 */
cortado_error cortado_execute_with(cortado_method *method, const cortado_bytes *inputs, size_t input_count, const cortado_memory *outputs,
                                   size_t output_count);

/*
 * An output, element after element in memory order; `bytes` may be null. The pointer is good until an input is set or filled, or the method is
 * executed or loaded again.
 */
cortado_error cortado_output(cortado_method *method, size_t index, const void **data, size_t *bytes);

/* ----------------------------------------------------------------------------------------------------------------- library */

/* The version of the library: major << 16 | minor << 8 | patch. */
uint32_t cortado_version(void);
/* The instruction set of the library's kernels: "scalar", "dsp" or "mve". */
const char *cortado_isa(void);

#ifdef __cplusplus
}
#endif

#endif
