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

const direct = new Redis({ port, host: "127.0.0.1" });
await exercise("ioredis", direct);
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
  await node.quit();
  console.log(`node-redis RESP${RESP}: well`);
}
console.log("all well");
