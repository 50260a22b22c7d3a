from urllib.request import urlopen

from geoseg.report.report import Server


def test_a_page_is_served_until_it_is_interrupted(geoseg, world, monkeypatch):
    served = []

    def interrupted(server, poll_interval=0.5):
        server.timeout = 10
        served.append(server.url)
        server.handle_request()
        raise KeyboardInterrupt

    def ask_instead(url):
        from threading import Thread

        def ask():
            with urlopen(url, timeout=10) as page:  # noqa: S310
                served.append(page.read())

        Thread(target=ask).start()

    monkeypatch.setattr(Server, "serve_forever", interrupted)
    monkeypatch.setattr("webbrowser.open", ask_instead)

    outcome = geoseg("view", world / "ortho.tif", "--open")

    assert outcome.code == 0
    assert outcome.out.strip() == served[0]
    assert served[0].startswith("http://127.0.0.1:")


def test_others_are_served_only_with_a_warning(geoseg, world, monkeypatch):
    monkeypatch.setattr(Server, "serve_forever", lambda _: None)

    outcome = geoseg("view", world / "ortho.tif", "--host", "0.0.0.0")  # noqa: S104

    assert outcome.code == 0
    assert "warning: 0.0.0.0: everybody" in outcome.err


def test_a_missing_file_is_named(geoseg, world):
    outcome = geoseg("view", world / "gone.tif")

    assert outcome.code == 1
    assert "gone.tif: no such file" in outcome.err
