"""pip's settings hold for uv, which makes the environments."""

from __future__ import annotations

from pathlib import Path

from tools.uv import path_with_pyenv, pip_options, uv_variables

LISTING = """\
:env:.find-links='/wheels /more'
global.cert='/etc/certs.crt'
global.extra-index-url='\\nhttps://one.example/simple\\nhttps://two.example/simple'
global.find-links='/overruled'
global.index-url='https://pip.example/simple'
global.timeout='15'
install.timeout='180'
"""


def test_variables_win_over_install_and_install_over_global() -> None:
    options = pip_options(LISTING)

    assert options["find-links"] == "/wheels /more"
    assert options["timeout"] == "180"


def test_uv_gets_the_settings_of_pip() -> None:
    assert uv_variables(pip_options(LISTING), {}) == {
        "UV_DEFAULT_INDEX": "https://pip.example/simple",
        "UV_INDEX": "https://one.example/simple https://two.example/simple",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_FIND_LINKS": "/wheels,/more",
        "SSL_CERT_FILE": "/etc/certs.crt",
        "UV_HTTP_TIMEOUT": "180",
    }


def test_variables_of_uv_win() -> None:
    reported = {"UV_INDEX_URL": "https://uv.example/simple", "UV_EXTRA_INDEX_URL": "x", "UV_FIND_LINKS": "y"}

    assert uv_variables(pip_options(LISTING), reported).keys() == {"SSL_CERT_FILE", "UV_HTTP_TIMEOUT"}


def test_no_settings_no_variables() -> None:
    assert uv_variables(pip_options(""), {}) == {}


def test_interpreters_of_pyenv_come_last(tmp_path: Path) -> None:
    (tmp_path / "versions" / "3.10.1" / "bin").mkdir(parents=True)

    found = path_with_pyenv({"PATH": "/usr/bin", "PYENV_ROOT": str(tmp_path)})

    assert found == f"/usr/bin:{tmp_path}/versions/3.10.1/bin"
