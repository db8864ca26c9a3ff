"""The same with the official Python SDK: `peer.py TASK EXECUTABLE [HOME]` prints what it measured as JSON."""
import json
import os
import resource
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor


def cpu_ms():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return (usage.ru_utime + usage.ru_stime) * 1000


def stopwatch():
    start, cpu = time.perf_counter(), cpu_ms()
    return lambda: {"wall": (time.perf_counter() - start) * 1000, "cpu": cpu_ms() - cpu}


def main():
    task, executable = json.loads(sys.argv[1]), sys.argv[2]
    if task["name"] == "import":
        stop = stopwatch()
        import openai_codex  # noqa: F401

        return stop()
    from openai_codex import Codex, CodexConfig

    env = {"CODEX_HOME": sys.argv[3]} if len(sys.argv) > 3 else None
    stop = stopwatch()
    with Codex(CodexConfig(codex_bin=executable, env=env)) as codex:
        if task["name"] == "ready":
            return stop()
        thread = codex.thread_start()
        if task["name"] == "stream":
            def stream(events):
                text = json.dumps({"kind": task["kind"], "events": events, "together": 1})
                return sum(1 for _ in thread.turn(text).stream())

            stream(round(task["events"] * 0.1))
            stop = stopwatch()
            return {"events": stream(task["events"]), **stop()}
        if task["name"] == "run":
            times = []
            for _ in range(task["turns"]):
                stop = stopwatch()
                thread.run("Say hello.")
                times.append(stop()["wall"])
            return {"wall": statistics.median(times)}
        from pydantic import BaseModel, ConfigDict

        class Page(BaseModel):
            model_config = ConfigDict(extra="allow")

        def request(_):
            codex._client.request("thread/loaded/list", {}, response_model=Page)

        for index in range(round(task["requests"] * 0.1)):
            request(index)
        stop = stopwatch()
        if task["name"] == "roundTrip":
            for index in range(task["requests"]):
                request(index)
        else:
            with ThreadPoolExecutor(64) as pool:
                list(pool.map(request, range(task["requests"])))
        return {"requests": task["requests"], **stop()}


result = main()
print(json.dumps(result), flush=True)
os._exit(0)
