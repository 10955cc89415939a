// SPDX-License-Identifier: Apache-2.0. Copyright The Meridian authors.
// Popular libraries against two regions of one database: `node libraries.mjs PORT_A PORT_B [NAME ...]`. With the same port
// twice it checks the stories themselves (against a redis-server, say). Ends with "N passed, N failed".
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { Queue, Worker, QueueEvents, FlowProducer } from "bullmq";
import BeeQueue from "bee-queue";
import Bottleneck from "bottleneck";
import { RedisStore as SessionStore } from "connect-redis";
import session from "express-session";
import Redis from "ioredis";
import KeyvRedis from "@keyv/redis";
import { RateLimiterRedis } from "rate-limiter-flexible";
import { RedisStore as LimitStore } from "rate-limit-redis";
import { createClient } from "redis";
import { Mutex, Semaphore } from "redis-semaphore";
import { Server } from "socket.io";
import { createAdapter } from "@socket.io/redis-adapter";
import { createAdapter as createStreamsAdapter } from "@socket.io/redis-streams-adapter";

const [portA, portB, ...only] = process.argv.slice(2).map((a) => (/^\d+$/.test(a) ? Number(a) : a));
const options = (port, more = {}) => ({ host: "127.0.0.1", port, maxRetriesPerRequest: null, ...more });
const stories = [];
const story = (library, what, run) => stories.push({ library, what, run });
const closing = [];
const later = (close) => closing.unshift(close);

function io(port, more) {
    const client = new Redis(options(port, more));
    later(() => client.disconnect());
    return client;
}

async function nodeRedis(port) {
    const client = createClient({ socket: { host: "127.0.0.1", port } });
    client.on("error", () => {});
    await client.connect();
    later(() => client.destroy());
    return client;
}

async function eventually(what, check, ms = 10000) {
    const end = Date.now() + ms;
    for (;;) {
        const seen = await check();
        if (seen) return seen;
        if (Date.now() > end) throw new Error(`not seen within ${ms} ms: ${what}`);
        await sleep(20);
    }
}

// Everything written to A so far is at B: both see a marker.
let marks = 0;
async function arrived(from, to) {
    const [a, b] = [io(from), io(to)];
    const key = `mark:${process.pid}:${marks++}`;
    await a.set(key, "1", "EX", 60);
    await eventually("writes arrive in the other region", async () => (await b.get(key)) === "1");
}

// ------------------------------------------------------------ locks

// A lock as Redisson keeps it: a hash, owner -> how often it holds the lock, made by HINCRBY or HSET and counted down.
const acquire = `
if redis.call('exists', KEYS[1]) == 0 or redis.call('hexists', KEYS[1], ARGV[2]) == 1 then
  redis.call('hincrby', KEYS[1], ARGV[2], 1)
  redis.call('pexpire', KEYS[1], ARGV[1])
  return nil
end
return redis.call('pttl', KEYS[1])`;
const release = `
if redis.call('hexists', KEYS[1], ARGV[3]) == 0 then return nil end
local held = redis.call('hincrby', KEYS[1], ARGV[3], -1)
if held > 0 then redis.call('pexpire', KEYS[1], ARGV[2]) return 0 end
redis.call('del', KEYS[1])
redis.call('publish', KEYS[2], ARGV[1])
return 1`;

story("Redisson-style lock", "reentrant, waits for the release's message, one holder at a time", async () => {
    const [one, two, ear] = [io(portA), io(portA), io(portA)];
    for (const client of [one, two]) {
        client.defineCommand("acquire", { numberOfKeys: 1, lua: acquire });
        client.defineCommand("release", { numberOfKeys: 2, lua: release });
    }
    await one.del("lock");
    let heard = 0;
    ear.on("message", () => heard++);
    await ear.subscribe("lock:channel");
    assert.equal(await one.acquire("lock", 30000, "one"), null);
    assert.equal(await one.acquire("lock", 30000, "one"), null);
    assert.ok((await two.acquire("lock", 30000, "two")) > 0, "somebody else must wait");
    assert.equal(await two.release("lock", "lock:channel", "0", 30000, "two"), null, "not the holder");
    assert.equal(await one.release("lock", "lock:channel", "0", 30000, "one"), 0);
    assert.equal(await one.release("lock", "lock:channel", "0", 30000, "one"), 1);
    await eventually("the release is published", () => heard === 1);
    assert.equal(await two.acquire("lock", 30000, "two"), null);
    assert.equal(await two.release("lock", "lock:channel", "0", 30000, "two"), 1);
});

story("Redisson-style lock", "a field made by HSET is counted down in the other region", async () => {
    const [a, b] = [io(portA), io(portB)];
    for (const client of [a, b]) client.defineCommand("release", { numberOfKeys: 2, lua: release });
    await a.hset("lock:2", "one", 2);
    await a.pexpire("lock:2", 30000);
    await arrived(portA, portB);
    assert.equal(await b.release("lock:2", "lock:2:channel", "0", 30000, "one"), 0);
    await arrived(portB, portA);
    assert.equal(await a.hget("lock:2", "one"), "1");
    assert.equal(await a.release("lock:2", "lock:2:channel", "0", 30000, "one"), 1);
    await arrived(portA, portB);
    assert.equal(await b.exists("lock:2"), 0);
});

story("redis-semaphore", "mutex and semaphore", async () => {
    const client = io(portA);
    const [first, second] = [new Mutex(client, "door", { acquireTimeout: 300, retryInterval: 10 }), new Mutex(client, "door", { acquireTimeout: 300, retryInterval: 10 })];
    await first.acquire();
    await assert.rejects(second.acquire());
    await first.release();
    await second.acquire();
    await second.release();
    const seats = Array.from({ length: 3 }, () => new Semaphore(client, "seats", 2, { acquireTimeout: 300, retryInterval: 10 }));
    await seats[0].acquire();
    await seats[1].acquire();
    await assert.rejects(seats[2].acquire());
    await seats[0].release();
    await seats[2].acquire();
    await Promise.all([seats[1].release(), seats[2].release()]);
});

// ------------------------------------------------------------ queues

async function bull(name, port, handler, count) {
    const done = [];
    const worker = new Worker(name, async (job) => (handler ? handler(job) : job.data.n * 2), { connection: io(port), concurrency: 8 });
    worker.on("error", () => {});
    const finished = new Promise((resolve, reject) => {
        worker.on("completed", (job) => {
            done.push(job.data.n);
            if (done.length >= count) resolve();
        });
        setTimeout(() => reject(new Error(`${done.length} of ${count} jobs within 30 s`)), 30000).unref();
    });
    return { worker, done, finished };
}

story("BullMQ", "delays, priorities, retries, flows and events in one region", async () => {
    const name = "orders";
    const queue = new Queue(name, { connection: io(portA) });
    await queue.obliterate({ force: true });
    const events = new QueueEvents(name, { connection: io(portA) });
    await events.waitUntilReady();
    let failed = 0;
    const { worker, done, finished } = await bull(name, portA, async (job) => {
        if (job.data.fails && job.attemptsMade === 0) throw new Error("the first attempt fails");
        return job.data.n + 1;
    }, 60);
    worker.on("failed", () => failed++);
    const jobs = await queue.addBulk(Array.from({ length: 60 }, (_, n) => ({
        name: "order", data: { n, fails: n % 20 === 0 },
        opts: { attempts: 2, delay: n % 10 === 0 ? 100 : 0, priority: n % 3 },
    })));
    assert.equal(await jobs[5].waitUntilFinished(events, 20000), 6);
    await finished;
    assert.deepEqual([...done].sort((x, y) => x - y), Array.from({ length: 60 }, (_, n) => n));
    assert.equal(failed, 3);
    const counts = await queue.getJobCounts("completed", "failed", "wait", "active", "delayed");
    assert.deepEqual(counts, { completed: 60, failed: 0, wait: 0, active: 0, delayed: 0 });
    const flow = new FlowProducer({ connection: io(portA) });
    const tree = await flow.add({ name: "parent", queueName: name, data: { n: 100 }, children: [{ name: "child", queueName: name, data: { n: 101 } }, { name: "child", queueName: name, data: { n: 102 } }] });
    await eventually("the parent runs after its children", async () => (await tree.job.getState()) === "completed", 20000);
    await worker.close();
    await events.close();
    await flow.close();
    await queue.close();
});

story("BullMQ", "a queue survives the switch to the other region", async () => {
    const name = "moving";
    const queue = new Queue(name, { connection: io(portA) });
    await queue.obliterate({ force: true });
    await queue.addBulk(Array.from({ length: 200 }, (_, n) => ({ name: "step", data: { n } })));
    const here = await bull(name, portA, async (job) => { await sleep(2); return job.data.n; }, 80);
    await here.finished;
    await here.worker.close();
    await arrived(portA, portB);
    const left = 200 - here.done.length;
    const there = await bull(name, portB, async (job) => job.data.n, left);
    await there.finished;
    assert.deepEqual([...here.done, ...there.done].sort((x, y) => x - y), Array.from({ length: 200 }, (_, n) => n));
    const added = new Queue(name, { connection: io(portB) });
    const more = await added.add("step", { n: 1000 });
    await eventually("new jobs run there", async () => (await more.getState()) === "completed");
    await there.worker.close();
    await arrived(portB, portA);
    assert.equal((await queue.getJobCounts("completed")).completed, 201, "both regions count the same");
    await added.close();
    await queue.close();
});

story("bee-queue", "a queue end to end", async () => {
    const queue = new BeeQueue("bees", { redis: { host: "127.0.0.1", port: portA }, removeOnSuccess: true });
    const done = [];
    queue.process(4, async (job) => job.data.x * 2);
    for (let x = 0; x < 20; x++) {
        const job = await queue.createJob({ x }).save();
        job.on("succeeded", (result) => done.push(result));
    }
    await eventually("all jobs succeed", () => done.length === 20);
    assert.deepEqual([...done].sort((x, y) => x - y), Array.from({ length: 20 }, (_, n) => n * 2));
    await queue.close(1000);
});

// ------------------------------------------------------------ rate limits

story("rate-limiter-flexible", "points are counted over both regions", async () => {
    const limits = { points: 10, duration: 60, keyPrefix: `rl:${process.pid}` };
    const [a, b] = [new RateLimiterRedis({ storeClient: io(portA), ...limits }), new RateLimiterRedis({ storeClient: io(portB), ...limits })];
    for (let i = 0; i < 6; i++) await a.consume("visitor");
    await arrived(portA, portB);
    for (let i = 0; i < 4; i++) await b.consume("visitor");
    await assert.rejects(b.consume("visitor"), (no) => no.msBeforeNext > 0 && no.consumedPoints === 11);
    await arrived(portB, portA);
    await assert.rejects(a.consume("visitor"), (no) => no.consumedPoints === 12);
});

story("rate-limit-redis", "express-rate-limit's store", async () => {
    const client = io(portA);
    const store = new LimitStore({ sendCommand: (...args) => client.call(...args), prefix: `erl:${process.pid}:` });
    store.init({ windowMs: 60000 });
    assert.equal((await store.increment("ip")).totalHits, 1);
    assert.equal((await store.increment("ip")).totalHits, 2);
    await store.decrement("ip");
    const third = await store.increment("ip");
    assert.equal(third.totalHits, 2);
    assert.ok(third.resetTime > new Date());
    await store.resetKey("ip");
    assert.equal((await store.increment("ip")).totalHits, 1);
});

story("Bottleneck", "two processes share one limit", async () => {
    const make = () => new Bottleneck({ id: `neck${process.pid}`, maxConcurrent: 2, minTime: 5, datastore: "ioredis", clearDatastore: false, clientOptions: options(portA) });
    const [one, two] = [make(), make()];
    let running = 0, most = 0, ran = 0;
    const job = async () => {
        most = Math.max(most, ++running);
        await sleep(10);
        running--;
        ran++;
    };
    await Promise.all([one, two].flatMap((neck) => Array.from({ length: 10 }, () => neck.schedule(job))));
    assert.equal(ran, 20);
    assert.ok(most <= 2, `${most} at once`);
    await one.disconnect();
    await two.disconnect();
});

// ------------------------------------------------------------ sessions, caches

story("connect-redis", "a session begun in one region goes on in the other", async () => {
    const [a, b] = await Promise.all([nodeRedis(portA), nodeRedis(portB)]);
    const [here, there] = [a, b].map((client) => new SessionStore({ client, prefix: "sess:" }));
    const call = (store, method, ...args) => new Promise((resolve, reject) => store[method](...args, (e, v) => (e ? reject(e) : resolve(v))));
    const cookie = new session.Cookie({ maxAge: 60000 });
    await call(here, "set", "s1", { cookie, user: "ada", cart: [1, 2] });
    await arrived(portA, portB);
    assert.deepEqual((await call(there, "get", "s1")).cart, [1, 2]);
    await call(there, "set", "s1", { cookie, user: "ada", cart: [1, 2, 3] });
    await call(there, "touch", "s1", { cookie });
    await arrived(portB, portA);
    assert.deepEqual((await call(here, "get", "s1")).cart, [1, 2, 3]);
    assert.ok((await call(here, "ids")).includes("s1"));
    await call(here, "destroy", "s1");
    await arrived(portA, portB);
    assert.equal((await call(there, "get", "s1")) ?? null, null);
});

story("Keyv", "get, set with a lifetime, delete, iterate, clear", async () => {
    const store = new KeyvRedis(`redis://127.0.0.1:${portA}`, { namespace: `keyv${process.pid}` });
    await store.set("a", "1", 60000);
    await store.set("b", "2");
    assert.equal(await store.get("a"), "1");
    assert.deepEqual((await store.getMany(["a", "b", "c"])).map((v) => v ?? null), ["1", "2", null]);
    assert.equal(await store.delete("a"), true);
    assert.equal(await store.has("a"), false);
    await store.clear();
    assert.equal(await store.has("b"), false);
    await store.disconnect();
});

// ------------------------------------------------------------ messages

function sockets(port, makeAdapter) {
    const server = new Server({ adapter: makeAdapter });
    server.listen(0);
    later(() => server.close());
    return server;
}

story("socket.io redis-adapter", "a broadcast reaches servers in both regions", async () => {
    const adapter = (port) => {
        const publisher = io(port);
        const ear = publisher.duplicate();
        later(() => ear.disconnect());
        return createAdapter(publisher, ear);
    };
    const [a, b] = [sockets(portA, adapter(portA)), sockets(portB, adapter(portB))];
    await sleep(300);
    const heard = [];
    b.on("greeting", (text) => heard.push(text));
    a.serverSideEmit("greeting", "hello");
    await eventually("the event arrives", () => heard.length === 1);
    assert.deepEqual(heard, ["hello"]);
});

story("socket.io redis-streams-adapter", "events travel on a stream", async () => {
    const [a, b] = [portA, portB].map((port) => sockets(port, createStreamsAdapter(io(port), { streamName: "socket.io:events", maxLen: 1000 })));
    await sleep(300);
    const heard = [];
    b.on("greeting", (text) => heard.push(text));
    a.serverSideEmit("greeting", "hello");
    await eventually("the event arrives", () => heard.length === 1);
    assert.deepEqual(heard, ["hello"]);
});

// ------------------------------------------------------------

let passed = 0, failed = 0;
for (const { library, what, run } of stories) {
    if (only.length > 0 && !only.includes(library)) continue;
    try {
        await Promise.race([run(), sleep(60000, null, { ref: false }).then(() => { throw new Error("not done within 60 s"); })]);
        passed++;
        console.log(`ok      ${library}: ${what}`);
    } catch (e) {
        failed++;
        console.log(`FAILED  ${library}: ${what}\n        ${e.stack.split("\n").slice(0, 6).join("\n        ")}`);
    }
    for (const close of closing.splice(0)) await Promise.resolve(close()).catch(() => {});
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed > 0 ? 1 : 0);
