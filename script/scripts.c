/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "base/mem.h"
#include "script/inside.h"

#include <assert.h>
#include <stdio.h>

#define SLOTS_OF_BODIES 1024u
/* Of what EVAL brings: beyond either, the least recently used goes. */
#define EVAL_BODIES_MAX 4096u
#define EVAL_BYTES_MAX (16u << 20)

struct scripts {
    struct scripts_opts opts;
    struct body *bodies[SLOTS_OF_BODIES];
    struct body *oldest, *newest; /* EVAL's */
    size_t bodies_count, bodies_bytes, eval_count, eval_bytes;
    uint64_t generation;
    struct library *libraries;
    uint64_t serials;
    struct engine *checker; /* compiles for nobody; NULL: not needed yet */
    struct buf why, checked;
};

struct scripts *scripts_new(const struct scripts_opts *o)
{
    struct scripts *s = mem_zalloc(sizeof *s);
    s->opts = *o;
    return s;
}

static void library_free(struct library *l)
{
    for (unsigned i = 0; i < l->functions_count; i++) {
        mem_free(l->functions[i].name);
        mem_free(l->functions[i].description);
    }
    mem_free(l->functions);
    mem_free(l->name);
    mem_free(l->error);
    buf_deinit(&l->code);
    mem_free(l);
}

void scripts_free(struct scripts *s)
{
    if (s == NULL)
        return;
    scripts_forget(s);
    scripts_del_libraries(s);
    engine_free(s->checker);
    buf_deinit(&s->why);
    buf_deinit(&s->checked);
    mem_free(s);
}

void scripts_set_busy_ms(struct scripts *s, uint64_t ms) { s->opts.busy_ms = ms; }

uint64_t scripts_busy_ms(const struct scripts *s) { return s->opts.busy_ms; }

uint64_t scripts_generation(const struct scripts *s) { return s->generation; }

uint64_t scripts_clock_us(const struct scripts *s)
{
    return s->opts.clock_us != NULL ? s->opts.clock_us(s->opts.arg) : 0;
}

void scripts_log(const struct scripts *s, char level, const char *line)
{
    if (s->opts.log != NULL)
        s->opts.log(s->opts.arg, level, line);
}

/* ------------------------------------------------------------ bodies */

static struct body **slot_of(struct scripts *s, const char *sha)
{
    uint64_t h = load_u64(sha) * UINT64_C(0x9e3779b97f4a7c15);
    return &s->bodies[(h ^ h >> 32) % SLOTS_OF_BODIES];
}

static struct body **find(struct scripts *s, const char *sha)
{
    struct body **at = slot_of(s, sha);
    while (*at != NULL && memcmp((*at)->sha, sha, SHA1_HEX) != 0)
        at = &(*at)->next;
    return at;
}

static void age_unlink(struct scripts *s, struct body *b)
{
    *(b->older != NULL ? &b->older->newer : &s->oldest) = b->newer;
    *(b->newer != NULL ? &b->newer->older : &s->newest) = b->older;
    b->older = b->newer = NULL;
    s->eval_count--;
    s->eval_bytes -= b->n;
}

static void age_link(struct scripts *s, struct body *b)
{
    b->older = s->newest;
    *(s->newest != NULL ? &s->newest->newer : &s->oldest) = b;
    s->newest = b;
    s->eval_count++;
    s->eval_bytes += b->n;
}

static void remove_body(struct scripts *s, struct body **at)
{
    struct body *b = *at;
    *at = b->next;
    if (!b->loaded)
        age_unlink(s, b);
    s->bodies_count--;
    s->bodies_bytes -= b->n;
    mem_free(b);
}

const struct body *scripts_body(struct scripts *s, const char *sha)
{
    struct body *b = *find(s, sha);
    if (b != NULL && !b->loaded) {
        age_unlink(s, b);
        age_link(s, b);
    }
    return b;
}

const struct body *scripts_remember(struct scripts *s, const char *sha, struct bytes text,
                                    bool loaded)
{
    struct body **at = find(s, sha), *b = *at;
    if (b != NULL) {
        if (loaded && !b->loaded) {
            age_unlink(s, b);
            b->loaded = true;
        }
        return b;
    }
    while (!loaded && s->oldest != NULL &&
           (s->eval_count >= EVAL_BODIES_MAX || s->eval_bytes + text.n > EVAL_BYTES_MAX))
        remove_body(s, find(s, s->oldest->sha));
    b = mem_zalloc(sizeof *b + text.n);
    memcpy(b->sha, sha, SHA1_HEX);
    b->loaded = loaded;
    b->n = text.n;
    if (text.n > 0)
        memcpy(b->text, text.p, text.n);
    at = slot_of(s, sha);
    b->next = *at;
    *at = b;
    if (!loaded)
        age_link(s, b);
    s->bodies_count++;
    s->bodies_bytes += b->n;
    return b;
}

void scripts_forget(struct scripts *s)
{
    for (unsigned i = 0; i < SLOTS_OF_BODIES; i++)
        while (s->bodies[i] != NULL)
            remove_body(s, &s->bodies[i]);
    s->generation++;
}

void scripts_drop(struct scripts *s, const char *sha)
{
    struct body **at = find(s, sha);
    if (*at == NULL || !(*at)->loaded)
        return;
    remove_body(s, at);
    s->generation++; /* engines may have compiled it */
}

size_t scripts_count(const struct scripts *s) { return s->bodies_count; }

size_t scripts_bytes(const struct scripts *s) { return s->bodies_bytes; }

bool script_sha(struct bytes s, char out[SHA1_HEX + 1])
{
    if (s.n != SHA1_HEX)
        return false;
    for (size_t i = 0; i < SHA1_HEX; i++)
        out[i] = (char)(s.p[i] >= 'A' && s.p[i] <= 'Z' ? s.p[i] + 32 : s.p[i]);
    out[SHA1_HEX] = 0;
    return true;
}

/* ------------------------------------------------------------ libraries */

const struct library *scripts_libraries(const struct scripts *s) { return s->libraries; }

const struct library *scripts_library(const struct scripts *s, struct bytes name)
{
    const struct library *l = s->libraries;
    while (l != NULL && !bytes_is(name, l->name))
        l = l->next;
    return l;
}

const struct library *scripts_function(const struct scripts *s, struct bytes name, unsigned *index)
{
    for (const struct library *l = s->libraries; l != NULL; l = l->next) {
        for (unsigned i = 0; i < l->functions_count; i++) {
            if (bytes_is_nocase(name, l->functions[i].name)) {
                *index = i;
                return l;
            }
        }
    }
    return NULL;
}

size_t scripts_libraries_count(const struct scripts *s)
{
    size_t n = 0;
    for (const struct library *l = s->libraries; l != NULL; l = l->next)
        n++;
    return n;
}

size_t scripts_functions_count(const struct scripts *s)
{
    size_t n = 0;
    for (const struct library *l = s->libraries; l != NULL; l = l->next)
        n += l->functions_count;
    return n;
}

static struct engine *checker(struct scripts *s)
{
    if (s->checker == NULL)
        s->checker = engine_new(&(struct engine_opts){.scripts = s, .seed = s->opts.seed});
    return s->checker;
}

/* The text that was put together, as a string. */
static const char *said(struct scripts *s)
{
    buf_put_u8(&s->why, 0);
    return (const char *)s->why.p;
}

/* A function of the new library stands in another one already. */
static const char *check_functions(struct scripts *s, const struct loading *l,
                                   enum scripts_policy policy)
{
    for (unsigned i = 0; i < l->n && policy != SCRIPTS_ALONE; i++) {
        unsigned index;
        struct bytes name = bytes_str(l->at[i].function.name);
        const struct library *other = scripts_function(s, name, &index);
        if (other == NULL || bytes_is(buf_bytes(&s->checked), other->name))
            continue;
        buf_clear(&s->why);
        buf_putf(&s->why, "Function %s already exists", l->at[i].function.name);
        return said(s);
    }
    return NULL;
}

const char *scripts_check(struct scripts *s, struct bytes code, enum scripts_policy policy)
{
    struct shebang first = {0};
    struct loading l = {0};
    buf_clear(&s->why);
    const char *why = shebang_library(code, &first, &s->why);
    buf_clear(&s->checked);
    buf_put_bytes(&s->checked, first.name);
    if (why == NULL && policy == SCRIPTS_ADD && scripts_library(s, first.name) != NULL) {
        buf_putf(&s->why, "Library '%.*s' already exists", (int)first.name.n,
                 (const char *)first.name.p);
        why = said(s);
    }
    if (why == NULL && code.n > SCRIPT_BYTES_MAX)
        why = "Library too large: at most 1048576 bytes";
    if (why == NULL)
        why = library_run(checker(s), bytes_of(code.p + first.length, code.n - first.length), &l,
                          &s->why);
    if (why == NULL)
        why = check_functions(s, &l, policy);
    if (s->checker != NULL)
        loading_deinit(s->checker, &l, false);
    buf_deinit(&first.text);
    return why;
}

bool scripts_check_body(struct scripts *s, struct bytes body, struct reply *out)
{
    return engine_compiles(checker(s), body, out);
}

struct bytes scripts_checked(const struct scripts *s) { return buf_bytes(&s->checked); }

static int by_name(const struct function *a, const struct function *b)
{
    return strcmp(a->name, b->name);
}

/* Moves what was registered into the library, in order of name. */
static void adopt(struct library *l, struct loading *from)
{
    l->functions = mem_zalloc((from->n + 1) * sizeof l->functions[0]);
    for (unsigned i = 0; i < from->n; i++) {
        unsigned at = l->functions_count++;
        for (; at > 0 && by_name(&l->functions[at - 1], &from->at[i].function) > 0; at--)
            l->functions[at] = l->functions[at - 1];
        l->functions[at] = from->at[i].function;
        from->at[i].function = (struct function){0};
    }
}

void scripts_put_library(struct scripts *s, struct bytes name, struct bytes code)
{
    struct shebang first = {0};
    struct loading loading = {0};
    struct library *l = mem_zalloc(sizeof *l);
    scripts_del_library(s, name);
    l->serial = ++s->serials;
    l->name = mem_zalloc(name.n + 1);
    if (name.n > 0)
        memcpy(l->name, name.p, name.n);
    buf_put_bytes(&l->code, code);
    buf_clear(&s->why);
    const char *why = shebang_library(code, &first, &s->why);
    if (why == NULL)
        why = library_run(checker(s), bytes_of(code.p + first.length, code.n - first.length),
                          &loading, &s->why);
    if (why == NULL) {
        adopt(l, &loading);
    } else {
        char line[512];
        l->error = mem_strdup(why);
        snprintf(line, sizeof line, "the library of functions '%s' cannot be used here: %s",
                 l->name, why);
        scripts_log(s, 'W', line);
    }
    if (s->checker != NULL)
        loading_deinit(s->checker, &loading, false);
    buf_deinit(&first.text);
    struct library **at = &s->libraries;
    while (*at != NULL && strcmp((*at)->name, l->name) < 0)
        at = &(*at)->next;
    l->next = *at;
    *at = l;
}

void scripts_del_library(struct scripts *s, struct bytes name)
{
    for (struct library **at = &s->libraries; *at != NULL; at = &(*at)->next) {
        struct library *l = *at;
        if (!bytes_is(name, l->name))
            continue;
        *at = l->next;
        library_free(l);
        s->serials++;
        return;
    }
}

void scripts_del_libraries(struct scripts *s)
{
    while (s->libraries != NULL)
        scripts_del_library(s, bytes_str(s->libraries->name));
}

const char *script_flag_name(unsigned i, uint32_t *flag)
{
    static const struct {
        const char *name;
        uint32_t flag;
    } all[] = {{"no-writes", SCRIPT_NO_WRITES},
               {"allow-oom", SCRIPT_ALLOW_OOM},
               {"allow-stale", SCRIPT_ALLOW_STALE},
               {"no-cluster", SCRIPT_NO_CLUSTER},
               {"allow-cross-slot-keys", SCRIPT_CROSS_SLOT}};
    if (i >= sizeof all / sizeof all[0])
        return NULL;
    *flag = all[i].flag;
    return all[i].name;
}

bool scripts_only_reads(struct scripts *s, const char *command, struct bytes what)
{
    char sha[SHA1_HEX + 1];
    unsigned index;
    if (strcmp(command, "fcall") == 0) {
        const struct library *l = scripts_function(s, what, &index);
        return l != NULL && (l->functions[index].flags & SCRIPT_NO_WRITES);
    }
    if (strcmp(command, "evalsha") == 0) {
        const struct body *b = script_sha(what, sha) ? scripts_body(s, sha) : NULL;
        if (b == NULL)
            return false;
        what = bytes_of(b->text, b->n);
    }
    struct shebang line = {0};
    struct buf why = {0};
    bool only = shebang_script(what, &line, &why) == NULL && (line.flags & SCRIPT_NO_WRITES);
    buf_deinit(&line.text);
    buf_deinit(&why);
    return only;
}
