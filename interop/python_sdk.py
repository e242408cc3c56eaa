"""Every method of the published `21st-sdk` for Python against the local relay."""

import json
import subprocess
import unittest
from datetime import datetime, timedelta, timezone
from pathlib import Path

import requests
from twentyfirst_sdk import AgentClient, AgentClientError

ROOT = Path(__file__).resolve().parent.parent
SERVE = "cargo run --quiet --locked -p twentyfirst-local-relay --example serve".split()


class Watched:
    """Stands for an object, and strikes off a list the methods that have been called and answered."""

    def __init__(self, target, uncalled, prefix=""):
        for name in dir(target):
            member = getattr(target, name)
            if name.startswith("_") or isinstance(member, (str, AgentClient)):
                continue
            path = prefix + name
            if callable(member):
                uncalled.add(path)
                setattr(self, name, self._strike(member, uncalled, path))
            else:
                setattr(self, name, Watched(member, uncalled, f"{path}."))

    @staticmethod
    def _strike(method, uncalled, path):
        def call(*args, **kwargs):
            answer = method(*args, **kwargs)
            uncalled.discard(path)
            return answer

        return call


def user(text):
    return {"role": "user", "parts": [{"type": "text", "text": text}]}


def chunks(response):
    """The chunks of an answer as they arrive; `[DONE]` is the last."""
    for line in response.iter_lines(chunk_size=1, decode_unicode=True):
        if line:
            data = line.removeprefix("data: ")
            yield data if data == "[DONE]" else json.loads(data)


def text_of(read):
    return "".join(chunk["delta"] for chunk in read if "delta" in chunk)


def time(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


class PythonSdk(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.relay = subprocess.Popen(SERVE, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        cls.addClassCleanup(cls.relay.communicate)
        cls.base_url, cls.api_key = (cls.relay.stdout.readline().strip() for _ in range(2))
        cls.uncalled = set()
        cls.client = Watched(AgentClient(cls.api_key, base_url=f"{cls.base_url}/"), cls.uncalled)
        cls.sandbox = cls.client.sandboxes.create(
            "shell",
            files={"data/input.json": "[1, 2, 3]"},
            envs={"GREETING": "hello"},
            setup=["echo ready > setup.txt"],
            timeout_ms=600_000,
            network_allow_out=["example.com"],
            network_deny_out=["0.0.0.0/0"],
        )

    @classmethod
    def tearDownClass(cls):
        """The last word: all has been called."""
        cls.client.sandboxes.delete(cls.sandbox.id)
        cls.client.close()
        if cls.uncalled:
            raise AssertionError(f"nobody has called {sorted(cls.uncalled)}")

    def assert_near(self, text, expected, seconds=60):
        self.assertLess(abs(time(text) - expected), timedelta(seconds=seconds))

    def test_a_sandbox_is_there_with_all_that_it_was_given(self):
        sandbox = self.sandbox
        self.assertEqual(sandbox.status, "active")
        self.assertNotEqual(sandbox.sandboxId, sandbox.id)
        self.assert_near(sandbox.createdAt, datetime.now(timezone.utc))
        found = self.client.sandboxes.get(sandbox.id)
        self.assertEqual(found.agent, {"slug": "shell", "name": "shell"})
        self.assertEqual({name: found[name] for name in sandbox}, sandbox)
        read = self.client.sandboxes.files.read(sandbox.id, "data/input.json")
        self.assertEqual(read, {"path": "data/input.json", "content": "[1, 2, 3]"})
        command = "echo $GREETING; cat /home/user/setup.txt"
        ready = self.client.sandboxes.exec(sandbox.id, command)
        self.assertEqual(ready, {"exitCode": 0, "stdout": "hello\nready\n", "stderr": ""})

    def test_commands(self):
        command = 'pwd; echo "$NAME"; echo no >&2; exit 3'
        output = self.client.sandboxes.exec(self.sandbox.id, command, cwd="/home/user", envs={"NAME": "Ada"})
        self.assertEqual(output, {"exitCode": 3, "stdout": "/home/user\nAda\n", "stderr": "no\n"})
        with self.assertRaisesRegex(AgentClientError, "^Command execution timed out$"):
            self.client.sandboxes.exec(self.sandbox.id, "sleep 30", timeout_ms=100)

    def test_files(self):
        files = self.client.sandboxes.files
        written = files.write(self.sandbox.id, {"/home/user/notes/1 & 2.txt": "Grüße 😀"})
        self.assertEqual(written, {"files": [{"path": "/home/user/notes/1 & 2.txt", "size": 8}]})
        read = files.read(self.sandbox.id, "/home/user/notes/1 & 2.txt")
        self.assertEqual(read.content, "Grüße 😀")

    def test_a_repository_is_cloned(self):
        commit = "git -c user.name=Ada -c user.email=ada@example.com commit --quiet --allow-empty -m"
        command = f"git init --quiet work && cd work && {commit} one && {commit} two && git clone --quiet --bare . ../source.git"
        made = self.client.sandboxes.exec(self.sandbox.id, command, cwd="/home/user")
        self.assertEqual(made.exitCode, 0, made.stderr)
        url = "file:///home/user/source.git"
        clone = self.client.sandboxes.git.clone
        self.assertEqual(clone(self.sandbox.id, url), {"path": "/home/user/repo", "branch": "default"})
        shallow = clone(self.sandbox.id, url, path="/home/user/shallow", token="secret", depth=1)
        self.assertEqual(shallow.path, "/home/user/shallow")
        for path, commits in ("/home/user/repo", "two\none\n"), ("/home/user/shallow", "two\n"):
            log = self.client.sandboxes.exec(self.sandbox.id, "git log --format=%s", cwd=path)
            self.assertEqual(log.stdout, commits)
        with self.assertRaisesRegex(AgentClientError, "does not appear to be a git repository"):
            clone(self.sandbox.id, "file:///home/user/none.git", path="none")

    def test_threads(self):
        threads = self.client.threads
        sandbox = self.client.sandboxes.create("echo")
        self.assertEqual(threads.list(sandbox.id), [])
        review = threads.create(sandbox.id, name="Review")
        unnamed = threads.create(sandbox.id)
        self.assertEqual((review.name, review.status, unnamed.name), ("Review", "idle", None))
        self.assertEqual([thread.id for thread in threads.list(sandbox.id)], [unnamed.id, review.id])
        found = threads.get(sandbox.id, review.id)
        self.assertEqual((found.id, found.name, found.messages), (review.id, "Review", None))
        self.assertIsNone(threads.delete(sandbox.id, unnamed.id))
        self.assertEqual([thread.id for thread in threads.list(sandbox.id)], [review.id])
        self.client.sandboxes.delete(sandbox.id)

    def test_a_run_streams_and_is_stored_and_goes_on(self):
        said = " ".join(f"word{at}" for at in range(40))
        options = {"maxTurns": 3, "maxBudgetUsd": 0.5, "disallowedTools": ["Write"]}
        run = self.client.threads.run("echo", [user(said)], name="Streamed", options=options)
        self.assertEqual(run.resumeUrl, f"{self.base_url}/v1/chat/echo/{run.sandboxId}/stream")
        stream = chunks(run.response)
        first = [next(stream) for _ in range(3)]
        self.assertEqual([chunk["type"] for chunk in first], ["start", "text-start", "text-delta"])
        # On a connection of its own, while the session's reads the stream.
        with AgentClient(self.api_key, base_url=self.base_url) as other:
            self.assertEqual(other.threads.get(run.sandboxId, run.threadId).status, "streaming")
        rest = list(stream)
        self.assertEqual(rest[-1], "[DONE]")
        self.assertEqual(text_of(first + rest[:-1]), said)

        thread = self.client.threads.get(run.sandboxId, run.threadId)
        self.assertEqual((thread.name, thread.status), ("Streamed", "completed"))
        self.assertEqual(thread.messages[1].id, first[0]["messageId"])
        self.assertEqual(thread.messages[1].parts[0].text, said)
        self.assertEqual(thread.usage.totalTokens, 80)

        messages = [*thread.messages, user("And now?")]
        again = self.client.threads.run("echo", messages, sandbox_id=run.sandboxId, thread_id=run.threadId)
        self.assertEqual(text_of(list(chunks(again.response))[:-1]), "And now?")
        self.assertEqual(len(self.client.threads.get(run.sandboxId, run.threadId).messages), 4)
        self.client.sandboxes.delete(run.sandboxId)

    def test_a_run_is_resumed_and_cancelled_at_its_url(self):
        run = self.client.threads.run("shell", [user("sleep 30")])
        stream = chunks(run.response)
        while next(stream)["type"] != "tool-input-available":
            pass
        headers = {"authorization": f"Bearer {self.api_key}"}
        joined = chunks(requests.get(run.resumeUrl, headers=headers, stream=True))
        self.assertEqual(next(joined)["type"], "start")
        cancelled = requests.delete(run.resumeUrl, headers=headers).json()
        self.assertEqual((cancelled["ok"], cancelled["status"]), (True, "cancelled"))
        self.assertEqual(list(stream), ["[DONE]"])
        self.assertEqual(list(joined)[-1], "[DONE]")
        thread = self.client.threads.get(run.sandboxId, run.threadId)
        self.assertEqual((thread.status, thread.error), ("cancelled", "cancelled: cancelled by user"))
        self.assertEqual(requests.delete(run.resumeUrl, headers=headers).json(), {"ok": True, "status": "idle"})
        self.assertEqual(requests.get(run.resumeUrl, headers=headers).status_code, 204)
        self.client.sandboxes.delete(run.sandboxId)

    def test_tokens(self):
        token = self.client.tokens.create(agent="echo", user_id="ada", expires_in="15m")
        self.assert_near(token.expiresAt, datetime.now(timezone.utc) + timedelta(minutes=15), seconds=10)
        with AgentClient(token.token, base_url=self.base_url) as holder:
            run = holder.threads.run("echo", [user("Hello")])
            self.assertEqual(text_of(list(chunks(run.response))[:-1]), "Hello")
            with self.assertRaisesRegex(AgentClientError, '^Token is not authorized for agent "shell"$'):
                holder.threads.run("shell", [user("true")], sandbox_id=self.sandbox.id)
            with self.assertRaisesRegex(AgentClientError, "^Request failed: 403$"):
                holder.tokens.create()
            holder.sandboxes.delete(run.sandboxId)
        by_default = self.client.tokens.create()
        self.assert_near(by_default.expiresAt, datetime.now(timezone.utc) + timedelta(hours=1), seconds=10)

    def test_errors_carry_the_message_of_the_relay(self):
        with self.assertRaisesRegex(AgentClientError, '^Agent "nobody" not found$'):
            self.client.sandboxes.create("nobody")
        with self.assertRaisesRegex(AgentClientError, '^Sandbox "none" not found$'):
            self.client.sandboxes.get("none")
        with self.assertRaisesRegex(AgentClientError, "^threadId requires sandboxId$"):
            self.client.threads.run("echo", [user("Hello")], thread_id="none")
        with AgentClient("21st_sk_stranger", base_url=self.base_url) as stranger:
            with self.assertRaisesRegex(AgentClientError, "^Request failed: 401$"):
                stranger.sandboxes.get(self.sandbox.id)


if __name__ == "__main__":
    unittest.main(verbosity=2)
