/*
 * What comes before main on the emulated boards. On a real one this is the vendor's.
 */
#include <stdint.h>
#include <stdlib.h>

extern uint32_t stack_top[], data_start[], data_end[], data_load[], bss_start[], bss_end[];

int main(void);
/* Newlib's: opens the console of the debugger or emulator. */
void initialise_monitor_handles(void);

void reset(void);

static void fault(void)
{
    /* An emulator ends with a code that says so; a debugger stops here. */
    _Exit(102);
}

/* A program may have its own. */
__attribute__((weak)) void systick(void)
{
    fault();
}

__attribute__((section(".vectors"), used)) static void (*const vectors[16])(void) = {
    (void (*)(void))stack_top, reset, fault, fault, fault, fault, fault, fault,
    fault, fault, fault, fault, fault, fault, fault, systick,
};

void reset(void)
{
#if defined(__ARM_FP) || defined(__ARM_FEATURE_MVE)
    /* Lets code use the floating point unit and vectors: they are off after reset. */
    volatile uint32_t *const cpacr = (volatile uint32_t *)0xe000ed88;
    *cpacr |= 0xfu << 20;
    __asm__ volatile("dsb\n isb" ::: "memory");
#endif
    for (uint32_t *to = data_start, *from = data_load; to < data_end;) {
        *to++ = *from++;
    }
    for (uint32_t *to = bss_start; to < bss_end;) {
        *to++ = 0;
    }
    initialise_monitor_handles();
    exit(main());
}
