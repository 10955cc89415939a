// ioredis and node-redis against a database, directly and through discovery. SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import Redis from "ioredis";
import { createClient } from "redis";

const port = Number(process.env.DB_PORT);
const discovery = Number(process.env.DISCOVERY_PORT);

async function exercise(name, io) {
  await io.flushall();
  assert.equal(await io.set("k", "v"), "OK");
  assert.equal(await io.get("k"), "v");
  assert.deepEqual(await io.mget("k", "nope"), ["v", null]);
  await io.hset("h", { a: 1, b: 2 });
  assert.deepEqual(await io.hgetall("h"), { a: "1", b: "2" });
  await io.zadd("z", 1, "one", 2, "two");
  assert.deepEqual(await io.zrange("z", 0, -1, "WITHSCORES"), ["one", "1", "two", "2"]);
  const replies = await io.multi().incr("{t}n").incr("{t}n").exec();
  assert.deepEqual(replies, [[null, 1], [null, 2]]);
  const pipeline = io.pipeline();
  for (let i = 0; i < 1000; i++) pipeline.set(`p${i}`, i);
  assert.equal((await pipeline.exec()).filter(([e, r]) => !e && r === "OK").length, 1000);
  await assert.rejects(io.lpush("k", "x"), /WRONGTYPE/);
  console.log(`${name}: well`);
}

// Resolves when `list` has n entries; fails after two seconds.
async function until(list, n) {
  for (let i = 0; i < 200 && list.length < n; i++) await new Promise((r) => setTimeout(r, 10));
  assert.equal(list.length, n, JSON.stringify(list));
  return list;
}

async function subscribing(io) {
  const sub = io.duplicate();
  const heard = [];
  sub.on("message", (channel, text) => heard.push(`${channel}=${text}`));
  sub.on("pmessage", (pattern, channel, text) => heard.push(`${pattern} ${channel}=${text}`));
  sub.on("smessage", (channel, text) => heard.push(`shard ${channel}=${text}`));
  assert.equal(await sub.subscribe("news", "more"), 2);
  assert.equal(await sub.psubscribe("n*"), 3);
  assert.equal(await sub.ssubscribe("shard"), 1);
  assert.equal(await io.publish("news", "1"), 2);
  assert.equal(await io.publish("more", "2"), 1);
  assert.equal(await io.spublish("shard", "3"), 1);
  assert.deepEqual(await io.multi().publish("more", "4").exec(), [[null, 1]]);
  await until(heard, 5);
  assert.deepEqual(heard, ["news=1", "n* news=1", "more=2", "shard shard=3", "more=4"]);
  await sub.unsubscribe("news", "more");
  await sub.punsubscribe("n*");
  await sub.sunsubscribe("shard");
  assert.equal(await io.publish("news", "5"), 0);
  await io.config("SET", "notify-keyspace-events", "Eg$");
  await sub.subscribe("__keyevent@0__:set", "__keyevent@0__:del");
  await io.set("k", "v");
  await io.del("k");
  await until(heard, 7);
  assert.deepEqual(heard.slice(5), ["__keyevent@0__:set=k", "__keyevent@0__:del=k"]);
  await io.config("SET", "notify-keyspace-events", "");
  sub.disconnect();
  console.log("ioredis, subscribing: well");
}

async function monitoring(io) {
  const monitor = await io.monitor();
  const seen = [];
  monitor.on("monitor", (time, args) => seen.push(args.join(" ")));
  await io.set("watched", "a b");
  await until(seen, 1);
  assert.deepEqual(seen, ["set watched a b"]);
  monitor.disconnect();
  console.log("ioredis, monitoring: well");
}

const direct = new Redis({ port, host: "127.0.0.1" });
await exercise("ioredis", direct);
await subscribing(direct);
await monitoring(direct);
direct.disconnect();

const through = new Redis({ sentinels: [{ host: "127.0.0.1", port: discovery }], name: "shop" });
await exercise("ioredis through discovery", through);
through.disconnect();

for (const RESP of [2, 3]) {
  const node = createClient({ url: `redis://127.0.0.1:${port}`, RESP });
  node.on("error", (e) => { throw e; });
  await node.connect();
  await node.flushAll();
  assert.equal(await node.set("k", "v", { EX: 100 }), "OK");
  assert.equal(await node.get("k"), "v");
  await node.sAdd("s", ["a", "b"]);
  assert.deepEqual((await node.sMembers("s")).sort(), ["a", "b"]);
  assert.deepEqual(await node.multi().incr("{t}n").incr("{t}n").exec(), [1, 2]);
  const sub = node.duplicate();
  await sub.connect();
  const heard = [];
  await sub.subscribe("news", (text, channel) => heard.push(`${channel}=${text}`));
  await sub.pSubscribe("n*", (text, channel) => heard.push(`n* ${channel}=${text}`));
  assert.equal(await node.publish("news", "1"), 2);
  await until(heard, 2);
  assert.deepEqual(heard, ["news=1", "n* news=1"]);
  if (RESP === 3) assert.equal(await sub.publish("news", "2"), 2); // on the subscriber's own connection
  await until(heard, RESP === 3 ? 4 : 2);
  await sub.unsubscribe("news");
  await sub.pUnsubscribe("n*");
  assert.equal(await node.publish("news", "3"), 0);
  await sub.quit();
  await node.quit();
  console.log(`node-redis RESP${RESP}: well`);
}

// Cached by the client, invalidated by the server.
const cached = createClient({
  url: `redis://127.0.0.1:${port}`, RESP: 3, clientSideCache: { ttl: 0, maxEntries: 100, evictPolicy: "LRU" },
});
const writer = createClient({ url: `redis://127.0.0.1:${port}` });
await cached.connect();
await writer.connect();
for (let i = 0; i < 20; i++) {
  await writer.set("cached", String(i));
  let seen = null;
  for (let k = 0; k < 200 && seen !== String(i); k++) {
    seen = await cached.get("cached");
    if (seen !== String(i)) await new Promise((r) => setTimeout(r, 5));
  }
  assert.equal(seen, String(i));
  assert.equal(await cached.get("cached"), String(i));
}
await cached.close();
await writer.close();
console.log("node-redis, caching: well");
console.log("all well");
