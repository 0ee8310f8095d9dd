"""Who may come in, and what is refused at the gate."""

from __future__ import annotations

import os
import shutil
import ssl
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

Start = Callable[..., Any]
PROGRAM = [sys.executable, "-c", "from leadline.inference.cli import main; main(prog_name='leadline')"]
PASSWORD = "correct horse battery"


def leadline(*arguments: object, text: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run([*PROGRAM, *map(str, arguments)], input=text, capture_output=True, text=True)


def add_user(data: Path, name: str, role: str) -> None:
    done = leadline("user", "add", name, "--role", role, "--password-stdin", "--data", data, text=PASSWORD + "\n")
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def guarded(start: Start, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A station that demands a login, over TLS, with users of every role."""
    folder = tmp_path_factory.mktemp("guarded")
    if shutil.which("openssl") is None:
        pytest.skip("needs the openssl command to make a certificate")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", folder / "key.pem", "-out",
         folder / "cert.pem", "-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    for name, role in (("ann", "operator"), ("bo", "supervisor"), ("cy", "admin"), ("lock", "operator")):
        add_user(folder / "data", name, role)
    tls = ("--certificate", folder / "cert.pem", "--key", folder / "key.pem")
    return start("--login", *tls, data=folder / "data", verify=ssl.create_default_context(cafile=folder / "cert.pem"))


def login(station: Any, name: str, password: str = PASSWORD) -> httpx.Client:
    client = httpx.Client(base_url=station.url, verify=station.verify, timeout=60, trust_env=False)
    answer = client.post("/api/session", json={"name": name, "password": password})
    assert answer.status_code == 200, answer.text
    client.headers["X-CSRF-Token"] = answer.json()["csrf"]
    return client


def test_without_a_login_nothing_is_told(guarded: Any) -> None:
    for path in ("/api/scans", "/api/session", "/api/events", "/api/overview", "/metrics", f"/api/scans/{'0' * 24}"):
        answer = guarded.client.get(path)
        assert answer.status_code == 401, path
        assert answer.json()["error"]["code"] == "login_needed"
    assert guarded.client.get("/healthz").status_code == 200
    assert guarded.client.get("/").status_code == 200


def test_roles(guarded: Any) -> None:
    operator, supervisor, admin = (login(guarded, name) for name in ("ann", "bo", "cy"))
    assert operator.get("/api/scans").status_code == 200
    assert operator.get("/api/overview").status_code == 403
    assert supervisor.get("/api/overview").status_code == 200
    assert supervisor.get("/api/users").status_code == 403
    assert {u["name"] for u in admin.get("/api/users").json()} >= {"ann", "bo", "cy"}
    assert admin.post("/api/users", json={"name": "dee", "role": "operator", "password": "short"}).status_code == 400
    assert (
        admin.post("/api/users", json={"name": "../dee", "role": "operator", "password": PASSWORD}).status_code == 400
    )
    assert admin.post("/api/users", json={"name": "dee", "role": "operator", "password": PASSWORD}).status_code == 201
    assert admin.delete("/api/users/cy").status_code == 409
    assert admin.delete("/api/users/dee").status_code == 204
    assert admin.delete("/api/users/dee").status_code == 404


def test_the_cookie_and_the_csrf_token(guarded: Any) -> None:
    client = login(guarded, "ann")
    answer = client.post("/api/session", json={"name": "ann", "password": PASSWORD})
    cookie = answer.headers["set-cookie"].lower()
    assert cookie.startswith("__host-leadline=")
    for attribute in ("httponly", "secure", "samesite=strict", "path=/"):
        assert attribute in cookie
    client.headers["X-CSRF-Token"] = answer.json()["csrf"]
    without = {k: v for k, v in client.headers.items() if k != "x-csrf-token"}
    bare = httpx.Client(base_url=guarded.url, verify=guarded.verify, cookies=client.cookies, headers=without)
    assert bare.delete("/api/session").json()["error"]["code"] == "no_csrf_token"
    assert client.delete("/api/session").status_code == 204
    assert bare.get("/api/scans").status_code == 401


def test_lock_out(guarded: Any) -> None:
    """Five wrong passwords lock the account, even for the right one; other accounts stay open."""
    for _ in range(5):
        answer = guarded.client.post("/api/session", json={"name": "lock", "password": "wrong password"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "wrong_password")
    answer = guarded.client.post("/api/session", json={"name": "lock", "password": PASSWORD})
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "locked_out")
    assert int(answer.headers["retry-after"]) > 0
    assert "lock\toperator\tlocked" in leadline("user", "list", "--data", guarded.data).stdout
    login(guarded, "ann")
    done = leadline("user", "password", "lock", "--password-stdin", "--data", guarded.data, text=PASSWORD + "\n")
    assert done.returncode == 0
    login(guarded, "lock")


def test_sessions_expire(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After half an hour without use, and after twelve hours in any case; a lock-out ends by itself."""
    import time

    from leadline.inference.station.accounts import Accounts
    from leadline.inference.station.errors import ApiError
    from leadline.inference.station.store import Store

    store = Store(tmp_path / "station.db")
    accounts = Accounts(store)
    accounts.add("ann", "operator", PASSWORD)
    now = time.time()

    def after(seconds: float) -> None:
        monkeypatch.setattr("leadline.inference.station.accounts.time.time", lambda: now + seconds)

    secret, _ = accounts.log_in("ann", PASSWORD)
    after(25 * 60)
    assert accounts.by_session(secret) is not None  # use keeps it open
    after(54 * 60)
    assert accounts.by_session(secret, counts=False) is not None  # being looked up for a live stream does not
    after(56 * 60)
    assert accounts.by_session(secret) is None
    secret, _ = accounts.log_in("ann", PASSWORD)
    for minutes in range(80, 56 + 12 * 60, 25):
        after(minutes * 60)
        assert accounts.by_session(secret) is not None
    after((57 + 12 * 60) * 60)
    assert accounts.by_session(secret) is None
    for _ in range(5):
        with pytest.raises(ApiError, match="wrong"):
            accounts.log_in("ann", "not the password")
    with pytest.raises(ApiError, match="locked"):
        accounts.log_in("ann", PASSWORD)
    after((57 + 12 * 60 + 16) * 60)
    accounts.log_in("ann", PASSWORD)
    store.close()


def test_a_token_for_a_machine(guarded: Any, scan_file: Any) -> None:
    assert leadline("user", "add", "gate4", "--role", "machine", "--data", guarded.data).returncode == 0
    made = leadline("user", "token", "gate4", "--data", guarded.data)
    headers = {"Authorization": f"Bearer {made.stdout.strip()}"}
    files = {"file": ("a.tif", scan_file().read_bytes())}
    assert guarded.client.post("/api/scans", files=files, headers=headers).status_code == 201
    assert guarded.client.get("/api/scans", headers=headers).status_code == 403
    assert guarded.client.get("/metrics", headers=headers).status_code == 200
    wrong = guarded.client.get("/metrics", headers={"Authorization": "Bearer ll_nobody"})
    assert wrong.json()["error"]["code"] == "unknown_token"
    assert leadline("user", "remove", "gate4", "--data", guarded.data).returncode == 0
    assert guarded.client.post("/api/scans", files=files, headers=headers).status_code == 401


def test_secrets_are_only_kept_as_hashes(guarded: Any) -> None:
    login(guarded, "ann")
    stored = b"".join(p.read_bytes() for p in guarded.data.glob("station.db*"))
    assert PASSWORD.encode() not in stored
    assert b"$argon2id$" in stored
    assert os.stat(guarded.data).st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--host", "0.0.0.0"), "needs TLS"),
        (("--host", "::"), "needs TLS"),
        (("--host", "0.0.0.0", "--certificate", "c.pem", "--key", "k.pem"), "--name"),
        (("--host", "0.0.0.0", "--certificate", "c.pem", "--key", "k.pem", "--name", "gate.port"), "no users"),
        (("--certificate", "c.pem"), "one without the other"),
        (("--login",), "no users"),
        (("--watch", "/nowhere/at/all"), "no such folder"),
    ],
)
def test_a_careless_start_is_refused(arguments: tuple[str, ...], said: str, tmp_path: Path) -> None:
    done = leadline("serve", "--port", "0", "--data", tmp_path / "data", *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example:80"},
    ],
)
def test_requests_from_elsewhere_are_refused(station: Any, headers: dict[str, str], scan_file: Any) -> None:
    """On loopback without a login, a page of another site must not reach the station through the browser."""
    answer = station.client.post("/api/scans", files={"file": ("a.tif", scan_file().read_bytes())}, headers=headers)
    assert answer.status_code == 403
    assert answer.json()["error"]["code"] in ("foreign_origin", "unknown_host")


def test_oversized_requests(start: Start) -> None:
    small = start("--most-upload", "1")
    big = b"\0" * 1_200_000
    declared = small.client.post("/api/scans", files={"file": ("a.tif", big)})
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.tif"\r\n\r\n'
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    chunked = small.client.post("/api/scans", content=iter([head, big[:700_000], big[:700_000]]), headers=kind)
    other = small.client.post("/api/session", content=b"x" * 100_000)
    for answer in (declared, chunked, other):
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")
    assert small.client.get("/healthz").json()["status"] == "ok"


def test_a_decompression_bomb_is_a_failed_scan(station: Any, tmp_path: Path) -> None:
    import numpy as np
    import tifffile

    path = tmp_path / "bomb.tif"
    with tifffile.TiffWriter(path) as writer:  # 2 x 100 megapixels of zeros, a few hundred kilobytes
        for _ in range(2):
            tiles = (np.zeros((2000, 2000), np.uint16) for _ in range(25))
            writer.write(tiles, shape=(10_000, 10_000), dtype=np.uint16, compression="zlib", tile=(2000, 2000))
    assert path.stat().st_size < 2_000_000
    found = station.judged(station.post(path))
    assert "megapixels" in found["summary"]["error"]


@pytest.mark.parametrize(
    "name", ["../../etc/cron.d/x.tif", "..\\..\\x.tif", "/etc/x.tif", "a\0b.tif", "x" * 400, "瓷砖.tif"]
)
def test_hostile_names(station: Any, scan_file: Any, name: str) -> None:
    before = set(station.data.parent.rglob("*"))
    scan = station.post(scan_file(), name=name)
    shown = station.judged(scan)["summary"]
    assert shown["state"] == "screened"
    assert "/" not in shown["name"]
    assert "\\" not in shown["name"]
    assert len(shown["name"]) <= 120
    new = [p for p in set(station.data.parent.rglob("*")) - before if p.is_file()]
    assert all(p.is_relative_to(station.data) for p in new)


@pytest.mark.parametrize(
    "path", ["/static/../app.py", "/static/%2e%2e/app.py", "/static/..%2fapp.py", "/static//etc/passwd"]
)
def test_paths_do_not_leave_the_folder(station: Any, path: str) -> None:
    answer = station.client.get(path)
    assert answer.status_code in (403, 404)
    assert "error" in answer.json()


def test_one_error_shape(station: Any) -> None:
    answers = [
        station.client.get("/api/nothing"),
        station.client.get(f"/api/scans/{'0' * 24}"),
        station.client.get("/api/scans/xyz"),
        station.client.get("/api/scans?limit=0"),
        station.client.put("/api/scans"),
        station.client.post("/api/scans", data={"description": "no file"}),
        station.client.post("/api/session", json={"name": "x"}),
        station.client.post("/api/session", content=b"\xff\xfe", headers={"Content-Type": "application/json"}),
        station.client.post("/api/scans", files={"file": ("a.tif", b"x")}, data={"hs_code": "abc"}),
    ]
    for answer in answers:
        assert 400 <= answer.status_code < 500
        assert set(answer.json()) == {"error"}
        assert set(answer.json()["error"]) == {"code", "message", "remedy"}


def test_headers_of_the_page(station: Any) -> None:
    answer = station.client.get("/")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_the_first_view_is_small(station: Any) -> None:
    """Below 500 kB, and nothing from outside."""
    folder = Path(__file__).parents[3] / "inference" / "station" / "static"
    assert sum(p.stat().st_size for p in folder.iterdir()) < 500_000
    for path in folder.iterdir():
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/", "")
        assert "http://" not in text
        assert "https://" not in text


def test_health_and_metrics(station: Any, scan_file: Any) -> None:
    station.judged(station.post(scan_file()))
    health = station.client.get("/healthz").json()
    assert health["status"] == "ok"
    assert {m["name"] for m in health["models"]} == {"dense-parcel", "dense-container"}
    lines = station.client.get("/metrics").text.splitlines()
    values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    assert float(values['leadline_verdicts_total{verdict="inspect"}']) >= 1
    assert float(values["leadline_queue_length"]) == 0
    assert float(values["leadline_judging_seconds_count"]) >= 1
    for name in {line.split()[2] for line in lines if line.startswith("# TYPE")}:
        assert any(key.startswith(name) for key in values), name
