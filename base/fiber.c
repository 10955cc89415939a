/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/fiber.h"

#include "base/mem.h"

#include <assert.h>
#include <setjmp.h>
#include <stdint.h>
#include <ucontext.h>

/*
 * The stack is entered once, by swapcontext; from then on setjmp and longjmp go to and fro, which
 * costs no system call (swapcontext changes the signal mask each time). AddressSanitizer must be
 * told of each change of stacks and takes a longjmp between two for an error, so it gets
 * swapcontext.
 */
#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif
#if SANITIZED
#include <sanitizer/common_interface_defs.h>
#endif

struct fiber {
    void (*fn)(void *arg);
    void *arg;
    void *stack; /* owned */
    size_t size;
    bool entered, inside, stopped;
    ucontext_t own, caller;
#if SANITIZED
    void *fake_own, *fake_caller;
    const void *caller_stack;
    size_t caller_size;
#else
    jmp_buf own_jmp, caller_jmp;
#endif
};

struct fiber *fiber_new(size_t stack_bytes)
{
    struct fiber *f = mem_zalloc(sizeof *f);
    f->size = stack_bytes;
    f->stack = mem_stack(stack_bytes);
    return f;
}

void fiber_free(struct fiber *f)
{
    if (f == NULL)
        return;
    assert(!f->inside);
    mem_stack_free(f->stack, f->size);
    mem_free(f);
}

bool fiber_is_inside(const struct fiber *f) { return f->inside; }

bool fiber_is_stopped(const struct fiber *f) { return f->stopped; }

#if SANITIZED
static void to_caller(struct fiber *f)
{
    __sanitizer_start_switch_fiber(&f->fake_own, f->caller_stack, f->caller_size);
    swapcontext(&f->own, &f->caller);
    __sanitizer_finish_switch_fiber(f->fake_own, &f->caller_stack, &f->caller_size);
}
#else
static void to_caller(struct fiber *f)
{
    if (_setjmp(f->own_jmp) == 0)
        _longjmp(f->caller_jmp, 1);
}
#endif

/* Never returns: between two functions it waits in to_caller. */
static void entry(unsigned high, unsigned low)
{
    struct fiber *f = (struct fiber *)((uintptr_t)high << 32 | low);
#if SANITIZED
    __sanitizer_finish_switch_fiber(NULL, &f->caller_stack, &f->caller_size);
#endif
    for (;;) {
        f->fn(f->arg);
        f->stopped = false;
        to_caller(f);
    }
}

static void first_time(struct fiber *f)
{
    uintptr_t self = (uintptr_t)f;
    f->entered = true;
    getcontext(&f->own);
    f->own.uc_stack.ss_sp = f->stack;
    f->own.uc_stack.ss_size = f->size;
    f->own.uc_link = NULL;
    makecontext(&f->own, (void (*)(void))entry, 2, (unsigned)(self >> 32), (unsigned)self);
}

#if SANITIZED
static void to_own(struct fiber *f)
{
    if (!f->entered)
        first_time(f);
    __sanitizer_start_switch_fiber(&f->fake_caller, f->stack, f->size);
    swapcontext(&f->caller, &f->own);
    __sanitizer_finish_switch_fiber(f->fake_caller, NULL, NULL);
}
#else
static void to_own(struct fiber *f)
{
    if (_setjmp(f->caller_jmp) != 0)
        return;
    if (f->entered)
        _longjmp(f->own_jmp, 1);
    first_time(f);
    setcontext(&f->own);
}
#endif

static bool enter(struct fiber *f)
{
    assert(!f->inside);
    f->inside = true;
    f->stopped = true;
    to_own(f);
    f->inside = false;
    return !f->stopped;
}

bool fiber_start(struct fiber *f, void (*fn)(void *arg), void *arg)
{
    assert(!f->stopped);
    f->fn = fn;
    f->arg = arg;
    return enter(f);
}

bool fiber_resume(struct fiber *f)
{
    assert(f->stopped);
    return enter(f);
}

void fiber_yield(struct fiber *f)
{
    assert(f->inside);
    to_caller(f);
}
