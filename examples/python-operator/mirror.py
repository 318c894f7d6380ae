#!/usr/bin/env python3
"""Copies a ConfigMap into other namespaces, as a ConfigMapMirror asks for, and takes the copies away with it.

Needs Python 3 and nothing else. The kubeconfig in KUBECONFIG must be JSON and carry a token, as Slipway writes it.
"""

import argparse
import base64
import json
import os
import queue
import signal
import ssl
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

GROUP = "examples.slipway.dev"
MIRRORS = f"apis/{GROUP}/v1/configmapmirrors"
FINALIZER = MIRROR = f"{GROUP}/mirror"  # the finalizer of mirrors, and the label of copies: the uid they belong to
RETRY_SECONDS = 1


def log(message, **fields):
    print(json.dumps({"message": message, **fields}), file=sys.stderr, flush=True)


def of_namespace(collection, namespace, name):
    root, _, plural = collection.rpartition("/")
    return f"{root}/namespaces/{namespace}/{plural}/{name}"


class Api:
    """What this operator needs of Kubernetes' API."""

    def __init__(self, kubeconfig):
        with open(kubeconfig) as file:
            config = json.load(file)
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        self.server, self.token = cluster["server"], user["token"]
        authorities = base64.b64decode(cluster["certificate-authority-data"]).decode()
        self.tls = ssl.create_default_context(cadata=authorities)

    def open(self, method, path, body=None, content="application/json", timeout=10, **query):
        request = urllib.request.Request(f"{self.server}/{path}?{urllib.parse.urlencode(query)}", method=method)
        request.add_header("Authorization", f"Bearer {self.token}")
        request.add_header("Content-Type", content)
        data = None if body is None else json.dumps(body).encode()
        return urllib.request.urlopen(request, data, timeout, context=self.tls)

    def call(self, method, path, body=None, **options):
        """The answer; none where there is no such object."""
        try:
            with self.open(method, path, body, **options) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise

    def follow(self, path, seen, synced):
        """Lists, then watches, for ever. What breaks off is begun again from a new list."""
        while True:
            try:
                listed = self.call("GET", path)
                for item in listed["items"]:
                    seen(item)
                synced.set()
                version = listed["metadata"]["resourceVersion"]
                with self.open("GET", path, timeout=300, watch="true", resourceVersion=version) as events:
                    for line in events:
                        event = json.loads(line)
                        if event["type"] == "ERROR":
                            break
                        seen(event["object"])
            except (OSError, ValueError) as error:
                log("the watch broke off", path=path, error=str(error))
                time.sleep(RETRY_SECONDS)


class Operator:
    def __init__(self, api, release_first):
        self.api, self.release_first = api, release_first
        self.queue, self.sources, self.uids = queue.Queue(), {}, {}
        self.synced = [threading.Event(), threading.Event()]
        self.counts = {"ok": 0, "error": 0}

    def mirror_seen(self, mirror):
        meta = mirror["metadata"]
        key = (meta["namespace"], meta["name"])
        self.sources[key], self.uids[meta["uid"]] = mirror["spec"]["source"], key
        self.queue.put(key)

    def config_map_seen(self, config_map):
        meta = config_map["metadata"]
        owner = self.uids.get(meta.get("labels", {}).get(MIRROR))
        reads = [key for key, source in list(self.sources.items()) if (meta["namespace"], meta["name"]) == (key[0], source)]
        for key in filter(None, [owner, *reads]):
            self.queue.put(key)

    def run(self):
        watches = [(MIRRORS, self.mirror_seen), ("api/v1/configmaps", self.config_map_seen)]
        for (path, seen), synced in zip(watches, self.synced):
            threading.Thread(target=self.api.follow, args=(path, seen, synced), daemon=True).start()
        while True:
            key = self.queue.get()
            try:
                self.reconcile(*key)
                self.counts["ok"] += 1
            except (OSError, ValueError) as error:
                self.counts["error"] += 1
                log("will try again", mirror="/".join(key), error=str(error))
                threading.Timer(RETRY_SECONDS, self.queue.put, [key]).start()

    def reconcile(self, namespace, name):
        path = of_namespace(MIRRORS, namespace, name)
        mirror = self.api.call("GET", path)
        if mirror is None:
            return
        meta, spec = mirror["metadata"], mirror["spec"]
        held = FINALIZER in meta.get("finalizers", [])
        if "deletionTimestamp" in meta:
            if held and self.release_first:
                self.hold(path, meta, False)
            for copy in self.copies(meta["uid"]):
                self.remove(copy)
            if held and not self.release_first:
                self.hold(path, meta, False)
            return
        if not held:
            self.hold(path, meta, True)
        source = self.api.call("GET", of_namespace("api/v1/configmaps", namespace, spec["source"]))
        wanted = spec["namespaces"] if source else []
        there = {copy["metadata"]["namespace"]: copy for copy in self.copies(meta["uid"])}
        for copy in (there[other] for other in there.keys() - set(wanted)):
            self.remove(copy)
        for target in wanted:
            if target not in there or there[target].get("data") != source.get("data"):
                self.copy(meta, name, target, source.get("data"))
        self.report(path, mirror, len(wanted), None if source else f"there is no ConfigMap {spec['source']}")

    def copies(self, uid):
        return self.api.call("GET", "api/v1/configmaps", labelSelector=f"{MIRROR}={uid}")["items"]

    def copy(self, meta, name, namespace, data):
        log("copying", mirror=name, to=namespace)
        labels = {MIRROR: meta["uid"]}
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": labels}, "data": data}
        path = of_namespace("api/v1/configmaps", namespace, name)
        content = "application/apply-patch+yaml"
        if self.api.call("PATCH", path, body, content=content, fieldManager="mirror", force="true") is None:
            raise ValueError(f"there is no namespace {namespace}")

    def remove(self, copy):
        meta = copy["metadata"]
        log("removing", copy=f"{meta['namespace']}/{meta['name']}")
        self.api.call("DELETE", of_namespace("api/v1/configmaps", meta["namespace"], meta["name"]))

    def hold(self, path, meta, held):
        others = [name for name in meta.get("finalizers", []) if name != FINALIZER]
        # With the version: whoever else changes the list meanwhile is not overwritten.
        body = {"resourceVersion": meta["resourceVersion"], "finalizers": others + [FINALIZER] * held}
        self.api.call("PATCH", path, {"metadata": body}, content="application/merge-patch+json")

    def report(self, path, mirror, copies, trouble):
        status = {
            "observedGeneration": mirror["metadata"]["generation"],
            "copies": copies,
            "ready": "False" if trouble else "True",
            "message": trouble or f"{copies} copies",
        }
        if mirror.get("status") != status:
            self.api.call("PATCH", f"{path}/status", {"status": status}, content="application/merge-patch+json")


def serve(operator, port):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            ready = all(synced.is_set() for synced in operator.synced)
            metrics = [f'mirror_reconciles_total{{result="{key}"}} {count}\n' for key, count in operator.counts.items()]
            self.send_response(200 if ready or self.path == "/metrics" else 503)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(("".join(metrics) if self.path == "/metrics" else "ok\n").encode())

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--port", type=int, help="where /readyz and /metrics are served")
    arguments.add_argument("--release-first", action="store_true", help="a bug, to see it caught")
    given = arguments.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    operator = Operator(Api(os.environ["KUBECONFIG"]), given.release_first)
    if given.port:
        serve(operator, given.port)
    log("begins")
    operator.run()


if __name__ == "__main__":
    main()
