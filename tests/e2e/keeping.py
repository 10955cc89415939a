"""What people set and see of durability: REST, CONFIG, INFO, BGSAVE, ctl, files. Run by e2e.py, which shares its Region and ports."""
import os
import pathlib
import signal
import subprocess
import time

from cluster import BINARY, PASSWORD, USER, Client, RestError, command, info
from e2e import Region, Regions, eventually, geo


def config(db, name):
    return command(db, "CONFIG", "GET", name)[1].decode()


def ctl(region, *args):
    out = subprocess.run([BINARY, "ctl", *args, "--url", f"https://127.0.0.1:{region.node.rest_port}", "--user", USER,
                          "--password", PASSWORD, "--insecure"], capture_output=True, text=True, timeout=60)
    assert out.returncode == 0, out
    return out.stdout


def kill_plane(region):
    pid = int(pathlib.Path(region.node.dir, "plane.pid").read_text(encoding="ascii"))
    os.kill(pid, signal.SIGKILL)


def test_what_is_kept_is_shown_and_comes_back():
    region = Region("keep.e2e.test", workers=2)
    try:
        node, db = region.node, region.db
        uid = node.create_db("kept", db, shards=3, data_persistence="aof", aof_policy="appendfsync-always",
                             snapshot_policy=[{"secs": 3600, "writes": 1}])
        folder = pathlib.Path(node.dir, "db", f"db{uid}")
        assert command(db, "SET", "k", "v") == b"OK"  # at once: it was answered when it could be used
        assert (config(db, "appendonly"), config(db, "appendfsync"), config(db, "save")) == ("yes", "always", "3600 1")
        p = info(db, "persistence")
        assert (p["loading"], p["aof_enabled"], p["rdb_saves"], p["storage_shards"]) == (0, 1, 0, 3), p
        assert p["rdb_changes_since_last_save"] == 1 and p["aof_last_write_status"] == "ok", p
        before = command(db, "LASTSAVE")
        time.sleep(1.1)
        assert command(db, "BGSAVE") == b"Background saving started"
        eventually("the snapshot", lambda: command(db, "LASTSAVE") > before)
        assert command(db, "SAVE") == b"OK"
        assert info(db, "persistence")["rdb_saves"] == 6
        assert len(list(folder.glob("shard*/snapshot-*"))) == 3, list(folder.rglob("*"))
        assert "takes snapshots" in ctl(region, "db", "snapshot", "kept")
        eventually("by REST", lambda: info(db, "persistence")["rdb_saves"] == 9)
        kept = node.rest("GET", f"/v1/bdbs/{uid}")["persistence"]
        assert kept["status"] == "ok" and kept["last_snapshot_status"] == "ok" and kept["last_snapshot_time"], kept
        command(db, "SET", "after", "1")
        kill_plane(region)
        eventually("it is back", lambda: command(db, "GET", "after") == b"1" and command(db, "GET", "k") == b"v")
        eventually("it is well", lambda: node.rest("GET", f"/v1/bdbs/{uid}/availability")["status"] == "available")
        assert not any(a["state"] for a in node.rest("GET", f"/v1/bdbs/alerts/{uid}").values())
        assert "CRITICAL" not in ctl(region, "cluster", "alerts")
        assert node.rest("PUT", f"/v1/bdbs/{uid}", {"aof_policy": "appendfsync-every-sec"})["aof_policy"] == "appendfsync-every-sec"
        assert config(db, "appendfsync") == "everysec"
        node.rest("PUT", f"/v1/bdbs/{uid}", {"data_persistence": "disabled"})
        assert (config(db, "appendonly"), config(db, "save")) == ("no", "")
        eventually("its files are gone", lambda: not folder.exists())
        assert command(db, "GET", "k") == b"v" and "not on disk" in str(command(db, "BGSAVE"))
        node.rest("PUT", f"/v1/bdbs/{uid}", {"data_persistence": "aof", "aof_policy": "appendfsync-always"})
        eventually("it is on disk", lambda: node.rest("GET", f"/v1/bdbs/{uid}")["persistence"]["status"] == "ok")
        assert command(db, "SET", "later", "2") == b"OK"
        kill_plane(region)
        eventually("all is back", lambda: (command(db, "GET", "k"), command(db, "GET", "later")) == (b"v", b"2"))
        node.rest("DELETE", f"/v1/bdbs/{uid}")
        eventually("its files are gone", lambda: not folder.exists())
    finally:
        region.node.stop()


def test_damage_is_told_and_unknown_files_are_left_alone():
    region = Region("damage.e2e.test")
    try:
        node, db = region.node, region.db
        uid = node.create_db("kept", db, data_persistence="aof")
        folder = pathlib.Path(node.dir, "db", f"db{uid}", "shard0")
        for i in range(200):
            command(db, "SET", f"key{i}", "x" * 100)
        assert command(db, "SAVE") == b"OK"
        snapshot = next(folder.glob("snapshot-*"))
        with open(snapshot, "r+b") as f:
            f.seek(snapshot.stat().st_size // 2)
            f.write(b"\xff\xff\xff")
        kill_plane(region)

        def unavailable():
            try:
                node.rest("GET", f"/v1/bdbs/{uid}/availability")
            except RestError as e:
                return e.status == 503 and snapshot.name in e.body
            return False
        eventually("the damage is told, with the file", unavailable)
        assert node.rest("GET", f"/v1/bdbs/{uid}")["persistence"]["status"] == "broken"
        assert snapshot.name in ctl(region, "cluster", "alerts")
        assert snapshot.name in str(command(db, "GET", "key1"))
        # A folder that this cluster knows nothing of stays, is told of, and its number is not given again.
        stray = pathlib.Path(node.dir, "db", "db77", "shard0")
        stray.mkdir(parents=True)
        (stray / "log-0000000000000001").write_bytes(b"of another life")
        node.process.terminate()
        node.process.wait(15)
        node.start()
        eventually("it is told of", lambda: node.rest("GET", "/v1/nodes/1")["unknown_database_files"] == [str(stray.parent)])
        other = node.rest("POST", "/v1/bdbs", {"name": "other", "memory_size": 0, "data_persistence": "snapshot"})
        assert other["uid"] == 78, other
        assert (stray / "log-0000000000000001").read_bytes() == b"of another life"
    finally:
        region.node.stop()


# What redis_exporter's default dashboards and datadog's check read.
EXPORTED = """uptime_in_seconds connected_clients blocked_clients maxclients client_recent_max_input_buffer used_memory used_memory_rss
used_memory_peak used_memory_lua used_memory_overhead used_memory_dataset maxmemory total_system_memory mem_fragmentation_ratio
mem_fragmentation_bytes mem_clients_normal mem_clients_slaves allocator_active allocator_allocated allocator_resident
allocator_frag_ratio allocator_rss_bytes rss_overhead_ratio active_defrag_running lazyfree_pending_objects loading
rdb_changes_since_last_save rdb_bgsave_in_progress rdb_last_save_time rdb_last_bgsave_status rdb_last_bgsave_time_sec
rdb_current_bgsave_time_sec rdb_last_cow_size aof_enabled aof_rewrite_in_progress aof_rewrite_scheduled aof_last_rewrite_time_sec
aof_current_rewrite_time_sec aof_last_bgrewrite_status aof_last_write_status aof_last_cow_size aof_current_size aof_base_size
aof_pending_rewrite aof_buffer_length aof_pending_bio_fsync aof_delayed_fsync total_connections_received total_commands_processed
instantaneous_ops_per_sec total_net_input_bytes total_net_output_bytes instantaneous_input_kbps instantaneous_output_kbps
rejected_connections expired_keys evicted_keys keyspace_hits keyspace_misses pubsub_channels pubsub_patterns latest_fork_usec
active_defrag_hits active_defrag_misses active_defrag_key_hits active_defrag_key_misses role connected_slaves master_repl_offset
used_cpu_sys used_cpu_user used_cpu_sys_children used_cpu_user_children db0 total_error_replies""".split()


def test_exporters_find_their_fields():
    region = Region("export.e2e.test", workers=2)
    try:
        db = region.db
        region.node.create_db("kept", db, shards=2, data_persistence="aof")
        command(db, "SET", "k", "v" * 1000000)
        before = info(db)
        missing = [name for name in EXPORTED if name not in before]
        assert not missing, missing
        for _ in range(20):
            command(db, "GET", "k")
        after = info(db)
        assert after["total_net_output_bytes"] - before["total_net_output_bytes"] > 20000000, (before, after)
        assert before["total_net_input_bytes"] > 1000000 and before["used_memory_peak"] >= before["used_memory"] > 1000000
    finally:
        region.node.stop()


def test_limits_set_by_config_are_told_of():
    region = Region("limits.e2e.test", workers=2)
    try:
        node, db = region.node, region.db
        uid = node.create_db("kept", db, shards=2)

        def alert():
            return node.rest("GET", f"/v1/bdbs/alerts/{uid}")["bdb_limit_not_kept"]
        assert not alert()["state"]
        assert command(db, "CONFIG", "SET", "maxmemory", "100mb", "maxmemory-policy", "allkeys-lru") == b"OK"
        eventually("it is told of", lambda: alert()["state"] and "104857600" in alert()["description"])
        assert "memory_size" in str(command(db, "CONFIG", "REWRITE"))
        node.rest("PUT", f"/v1/bdbs/{uid}", {"max_connections": 500})
        assert (config(db, "maxmemory"), config(db, "maxmemory-policy")) == ("104857600", "allkeys-lru")
        node.rest("PUT", f"/v1/bdbs/{uid}", {"memory_size": 100 << 20, "eviction_policy": "allkeys-lru"})
        eventually("it is kept", lambda: not alert()["state"])
        kill_plane(region)
        eventually("it is back", lambda: config(db, "maxmemory") == "104857600" and config(db, "maxmemory-policy") == "allkeys-lru")
    finally:
        region.node.stop()


def test_links_come_in_where_there_is_no_room_for_clients():
    with Regions(2) as (a, b):
        geo([a, b])
        assert command(a.db, "CONFIG", "SET", "maxclients", 3) == b"OK"
        clients = []
        while len(clients) < 4:
            clients.append(Client(a.db))
            if isinstance(clients[-1].command("PING"), Exception):
                clients.pop().close()
                break
        assert str(command(a.db, "PING")).startswith("ERR max number of clients"), "it is full"
        kill_plane(b)
        eventually("b is back", lambda: command(b.db, "SET", "from-b", "1") == b"OK")
        eventually("links are let in, both ways", lambda: clients[0].command("GET", "from-b") == b"1")
        clients[0].command("SET", "from-a", "1")
        eventually("and back", lambda: command(b.db, "GET", "from-a") == b"1")
        for c in clients:
            c.close()


def availability(node, uid):
    try:
        return node.rest("GET", f"/v1/bdbs/{uid}/availability")["status"]
    except RestError as e:
        assert e.status == 503, e
        return e.body


def test_loading_shows_its_progress():
    """A log that takes a moment to be read: what clients, INFO and REST say meanwhile, and that the figures grow."""
    region = Region("loads.e2e.test", workers=2)
    try:
        node, db, n = region.node, region.db, int(os.environ.get("LOADING_KEYS", "300000"))
        uid = node.create_db("kept", db, shards=2, data_persistence="aof")
        assert command(db, "DEBUG", "POPULATE", n, "key", 400) == b"OK"
        eventually("all is on the disk", lambda: info(db, "persistence")["storage_behind_bytes"] == 0)
        kill_plane(region)
        seen, states, answers = [], set(), set()
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                with Client(db) as c:
                    c.command("CLIENT", "SETNAME", "watcher")
                    while True:
                        text = c.command("INFO", "persistence").decode()
                        p = dict(line.split(":", 1) for line in text.split("\r\n") if ":" in line)
                        if p["loading"] == "0":
                            break
                        seen.append((int(p["loading_loaded_bytes"]), int(p["loading_total_bytes"]), float(p["loading_loaded_perc"])))
                        answers |= {str(c.command(*a)).split()[0] for a in (("GET", "absent"), ("PING",), ("SET", "x", "y"))}
                        if len(seen) % 20 == 1:
                            states.add(availability(node, uid))
                if seen:
                    break
            except OSError:
                pass
            time.sleep(0.002)
        assert len(seen) > 5, f"it was read too fast to be seen ({seen}): raise LOADING_KEYS"
        assert [s[0] for s in seen] == sorted(s[0] for s in seen) and len({s[0] for s in seen}) > 3, seen
        assert all((total > 0 or loaded == 0) and 0 <= percent <= 100 for loaded, total, percent in seen), seen  # at first the files are not listed yet
        assert "LOADING" in answers and answers <= {"LOADING", "None", "b'OK'", "b'PONG'"}, answers
        assert any("are being brought back from disk" in s for s in states), states
        eventually("it is available", lambda: availability(node, uid) == "available")
        assert command(db, "DBSIZE") >= n
    finally:
        region.node.stop()
