/* SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors. */
#include "tests/unit/run.h"

#include "base/fiber.h"
#include "shard/log.h"

TestSuite(script);

struct line {
    const char *script, *reply;
};

/* Each as EVAL "..." 0. */
static void check_all(struct run *r, const struct line *all, size_t n)
{
    struct buf command = {0};
    for (size_t i = 0; i < n; i++) {
        buf_clear(&command);
        buf_putf(&command, "EVAL \"%s\" 0", all[i].script);
        buf_put_u8(&command, 0);
        const char *got = run(r, (const char *)command.p);
        size_t len = strlen(all[i].reply);
        bool begins = len > 0 && all[i].reply[len - 1] == '*';
        bool ok =
            begins ? strncmp(got, all[i].reply, len - 1) == 0 : strcmp(got, all[i].reply) == 0;
        cr_expect(ok, "%s\n  gives   %s\n  instead %s", all[i].script, got, all[i].reply);
    }
    buf_deinit(&command);
}
#define CHECK(r, all) check_all(r, all, sizeof all / sizeof all[0])

Test(script, converts_what_it_returns)
{
    static const struct line all[] = {
        {"return 3.99", "3"},
        {"return -1e300", "-9223372036854775808"},
        {"return {1, 2, {3, 'x'}, 'y', nil, 4}", "[1 2 [3 x] y]"},
        {"return {true, false}", "[1 nil]"},
        {"return {ok='fine'}", "fine"},
        {"return {err='MY error'}", "error MY error"},
        {"return {double=1.5}", "1.5"},
        {"return {map={a=1}}", "[a 1]"},
        {"return redis.error_reply('word')", "error ERR word"},
        {"return redis.status_reply('fine')", "fine"},
        {"return function() end", "nil"},
    };
    struct run r;
    run_start(&r, 1, false);
    CHECK(&r, all);
    r.resp = 3;
    expect_raw(&r, "EVAL \"redis.setresp(3); return {true, {map={a=1}}, {double=2.5}}\" 0",
               "*3\r\n#t\r\n%1\r\n$1\r\na\r\n:1\r\n,2.5\r\n");
    expect_raw(&r, "EVAL \"return {big_number='12'}\" 0", "(12\r\n");
    expect_raw(&r, "EVAL \"return {verbatim_string={format='txt', string='x'}}\" 0",
               "=5\r\ntxt:x\r\n");
    run_stop(&r);
}

Test(script, calls_commands_and_reads_their_replies)
{
    static const struct line all[] = {
        {"return redis.call('SET', 'a', 1.5)", "OK"},
        {"return redis.call('GET', 'a')", "1.5"},
        {"return redis.call('GET', 'none') == false", "1"},
        {"redis.call('HSET', 'h', 'f', 'v') return redis.call('HGETALL', 'h')", "[f v]"},
        {"redis.setresp(3) return redis.call('HGETALL', 'h').map.f", "v"},
        {"return redis.call('PING').ok", "PONG"},
        {"return redis.pcall('INCR', 'h').err",
         "\"WRONGTYPE Operation against a key holding the wrong kind of value\""},
        {"return redis.call('INCR', 'h')", "error WRONGTYPE Operation*"},
        {"return redis.call('BLPOP', 'l', 0)",
         "error ERR This Redis command is not allowed from script script: *"},
        {"return redis.call('nosuch')", "error ERR Unknown Redis command called from script *"},
        {"return redis.call('GET')", "error ERR Wrong number of args calling Redis command *"},
        {"return redis.call('GET', {})", "error ERR Lua redis lib command arguments must be *"},
        {"#!lua flags=no-writes\nreturn redis.call('SET', 'a', 1)",
         "error ERR Write commands are not allowed from read-only scripts. *"},
    };
    struct run r;
    run_start(&r, 1, false);
    CHECK(&r, all);
    run_stop(&r);
}

Test(script, cannot_leave_its_sandbox)
{
    static const struct line all[] = {
        {"a = 1", "error ERR user_script:1: Attempt to modify a readonly table *"},
        {"return a", "error ERR user_script:1: Script attempted to access nonexistent global *"},
        {"redis.call = 1", "error ERR user_script:1: Attempt to modify a readonly table *"},
        {"setmetatable(_G, {})", "error ERR Attempt to modify a readonly table *"},
        {"rawset(string, 'x', 1)", "error ERR Attempt to modify a readonly table *"},
        {"table.insert(redis, 1)", "error ERR Attempt to modify a readonly table *"},
        {"getmetatable(_G).__index = {}",
         "error ERR user_script:1: Attempt to modify a readonly *"},
        {"getmetatable('').__index = {}",
         "error ERR user_script:1: Attempt to modify a readonly *"},
        {"getmetatable('').__index.upper = nil", "error ERR user_script:1: Attempt to modify a *"},
        {"local _, t = pairs(redis) t.call = nil", "error ERR user_script:1: Attempt to modify *"},
        {"for k, v in pairs(_G) do if k == '_G' then v.x = 1 end end",
         "error ERR user_script:1: Attempt to modify *"},
        {"return loadstring(string.dump(function() end))", "nil"},
        {"local n = 0 return load(function() n = n + 1 return n == 1 and '\\27Lua' or nil end)",
         "nil"},
        {"return debug", "error ERR user_script:1: Script attempted to access nonexistent *"},
        {"return os", "error ERR user_script:1: Script attempted to access nonexistent *"},
        {"return type(redis.call)", "function"},
    };
    struct run r;
    run_start(&r, 1, false);
    CHECK(&r, all);
    run_stop(&r);
}

Test(script, stays_within_its_limits)
{
    static const struct line all[] = {
        {"return {unpack({1}, -2147483648, 2147483647)}", "error ERR *"},
        {"return string.rep('', 1e18)", "\"\""},
        {"return #string.rep('x', 1e10)", "error ERR user_script:1: resulting string too large *"},
        {"local s, t = string.rep('x', 1e6), {} while true do t[#t + 1] = s .. #t end",
         "error ERR Error running script *"},
        {"local function f() return f() + 1 end f()", "error ERR user_script:1: stack overflow *"},
        {"local t = {} t[1] = t return cjson.encode(t)", "error ERR *"},
        {"return cjson.decode(string.rep('[', 5000))", "error ERR *"},
        {"return string.find('x', string.rep('x?', 20000))", "error ERR user_script:1: pattern *"},
        {"return bit.tohex(255, -2147483648)", "000000FF"},
        {"return cmsgpack.unpack(string.rep('\\145', 5000))", "error ERR *"},
        {"return 'alive'", "alive"},
    };
    struct run r;
    run_start(&r, 1, false);
    CHECK(&r, all);
    cr_expect_lt(engine_memory(r.engine), (size_t)64 << 20);
    run_stop(&r);
}

Test(script, packs_and_unpacks)
{
    static const struct line all[] = {
        {"return {cmsgpack.unpack(cmsgpack.pack(1, -1, 1.5, 'x', true, {1, 2}))}",
         "[1 -1 1 x 1 [1 2]]"},
        {"return cmsgpack.unpack(cmsgpack.pack({a={b='c'}})).a.b", "c"},
        {"return {struct.unpack('>I2hs', struct.pack('>I2hs', 65000, -3, 'hey'))}",
         "[65000 -3 hey 9]"},
        {"return struct.size('!bd')", "16"},
        {"return cjson.decode(cjson.encode({1, {a='x'}}))[2].a", "x"},
        {"return bit.band(7, 10)", "2"},
    };
    struct run r;
    run_start(&r, 1, false);
    CHECK(&r, all);
    run_stop(&r);
}

Test(script, is_found_by_its_sha1)
{
    struct run r;
    run_start(&r, 1, false);
    expect(&r, "EVALSHA e0e1f9fabfc9d4800c877a703b823ac0578ff8db 0",
           "error NOSCRIPT No matching script. Please use EVAL.");
    expect(&r, "EVAL \"return 1\" 0", "1");
    expect(&r, "EVALSHA e0e1f9fabfc9d4800c877a703b823ac0578ff8db 0", "1");
    expect(&r, "EVALSHA E0E1F9FABFC9D4800C877A703B823AC0578FF8DB 0", "1");
    scripts_forget(r.scripts);
    expect(&r, "EVALSHA e0e1f9fabfc9d4800c877a703b823ac0578ff8db 0",
           "error NOSCRIPT No matching script. Please use EVAL.");
    run_stop(&r);
}

Test(script, of_eval_are_kept_in_bounded_number)
{
    struct scripts *s = scripts_new(&(struct scripts_opts){.seed = 1});
    char sha[SHA1_HEX + 1];
    for (unsigned i = 0; i < 10000; i++) {
        sha1_hex(bytes_of(&i, sizeof i), sha);
        scripts_remember(s, sha, bytes_str("return 1"), i == 0);
    }
    cr_expect_leq(scripts_count(s), 4097u);
    cr_expect(scripts_body(s, sha) != NULL, "the newest is there");
    unsigned first = 0, second = 1;
    sha1_hex(bytes_of(&first, sizeof first), sha);
    cr_expect(scripts_body(s, sha) != NULL, "what was loaded stays");
    sha1_hex(bytes_of(&second, sizeof second), sha);
    cr_expect(scripts_body(s, sha) == NULL, "the oldest has gone");
    scripts_free(s);
}

Test(script, functions_come_from_libraries)
{
    struct run r;
    run_start(&r, 1, false);
    struct bytes code =
        bytes_str("#!lua name=lib\n"
                  "local n = 0\n"
                  "redis.register_function('count', function(keys, args)\n"
                  "  n = n + 1 redis.call('SET', keys[1], args[1]) return n end)\n"
                  "redis.register_function{function_name='look', callback=function()"
                  " return 'x' end, flags={'no-writes'}, description='d'}");
    cr_expect(scripts_check(r.scripts, code, SCRIPTS_ADD) == NULL);
    scripts_put_library(r.scripts, bytes_str("lib"), code);
    expect(&r, "FCALL count 1 k v", "1");
    expect(&r, "FCALL COUNT 1 k w", "2");
    expect(&r, "GET k", "w");
    expect(&r, "FCALL_RO look 0", "x");
    expect(&r, "FCALL_RO count 1 k v",
           "error ERR Can not execute a script with write flag using *_ro command.");
    cr_expect_str_eq(scripts_check(r.scripts, code, SCRIPTS_ADD), "Library 'lib' already exists");
    struct bytes other = bytes_str("#!lua name=b\nredis.register_function('look', function() end)");
    cr_expect_str_eq(scripts_check(r.scripts, other, SCRIPTS_ADD), "Function look already exists");
    scripts_put_library(r.scripts, bytes_str("bad"), bytes_str("#!lua name=bad\nreturn ("));
    cr_expect(scripts_library(r.scripts, bytes_str("bad"))->error != NULL);
    scripts_del_library(r.scripts, bytes_str("lib"));
    expect(&r, "FCALL count 1 k v", "error ERR Function not found");
    run_stop(&r);
}

Test(script, ships_its_effects_at_once)
{
    struct run a, b;
    struct run *both[] = {&a, &b};
    run_start(&a, 1, true);
    run_start(&b, 2, true);
    expect(&a,
           "EVAL \"redis.call('SET', KEYS[1], 'v') redis.call('INCR', KEYS[2]) "
           "redis.call('INCR', KEYS[2]) return redis.call('HSET', KEYS[3], 'f', 'v')\" 3 {t}s "
           "{t}n {t}h",
           "1");
    shard_close_frames(a.shard, a.now);
    struct frame f;
    uint64_t pos = log_begin(shard_log(a.shard));
    unsigned frames = 0;
    while (log_read(shard_log(a.shard), &pos, &f)) {
        frames++;
        cr_expect(f.flags & FRAME_ATOMIC);
    }
    cr_expect_eq(frames, 1u, "one frame has it all");
    run_sync(both, 2);
    expect(&b, "GET {t}s", "v");
    expect(&b, "GET {t}n", "2");
    expect(&b, "HGET {t}h f", "v");
    run_stop(&a);
    run_stop(&b);
}

Test(script, touches_no_other_shard)
{
    struct run r;
    run_start_with(&r, &(struct shard_opts){.partitions = 4, .count = 1});
    expect(&r, "EVAL \"return redis.call('GET', 'key:1')\" 0",
           "error ERR Script attempted to access a key of another shard; give all keys that it "
           "uses the same hash tag, {...}, and declare one of them script: "
           "99e61fe334e36457326f209ab62113a8dfa0c63e, on @user_script:1.");
    run_stop(&r);
}

Test(script, random_numbers_follow_from_the_seed)
{
    static const struct line all[] = {
        {"math.randomseed(10) return math.random(1000000)", "878852"},
        {"math.randomseed(10) return math.random(1000000)", "878852"},
    };
    struct run r;
    run_start(&r, 1, false);
    CHECK(&r, all);
    run_stop(&r);
}

/* ------------------------------------------------------------ base/fiber */

static void step(void *arg)
{
    struct fiber *f = *(struct fiber **)arg;
    fiber_yield(f);
    fiber_yield(f);
}

Test(script, fibers_stop_and_go_on)
{
    struct fiber *f = fiber_new(256 << 10);
    for (int i = 0; i < 3; i++) {
        cr_expect_not(fiber_start(f, step, &f));
        cr_expect(fiber_is_stopped(f));
        cr_expect_not(fiber_resume(f));
        cr_expect(fiber_resume(f));
        cr_expect_not(fiber_is_stopped(f));
    }
    cr_expect_not(fiber_start(f, step, &f));
    fiber_free(f);
}
