"""``make ui``: runs Airflow and the FDI emulator with all example DAGs until Ctrl-C."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from pathlib import Path

from airflow_provider_fdi.emulator.handle import EmulatorError
from demo import flights
from demo.airflow_api import StackError
from demo.narrator import Narrator, interrupt_once
from demo.scene import EXAMPLE_DAGS, ROOT, Scene
from demo.stack import PortInUse

FOLDER = ROOT / ".demo" / "ui"


def main() -> int:
    parser = argparse.ArgumentParser(prog="make ui", description=__doc__)
    parser.add_argument("--airflow-port", type=int, default=8080, help="port of Airflow's UI and API")
    parser.add_argument("--emulator-port", type=int, default=8765, help="port of the FDI emulator")
    parser.add_argument("--dags", type=Path, default=EXAMPLE_DAGS, help="the DAG folder")
    args = parser.parse_args()

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGINT, interrupt_once)
    say = Narrator()
    scene = Scene(
        FOLDER,
        dags=args.dags,
        airflow_port=args.airflow_port,
        emulator_port=args.emulator_port,
        editable=True,
    )
    outcome = 0
    try:
        with say:
            scene.start(say)
        assert scene.stack is not None and scene.emulator is not None
        print(
            f"\n  Airflow        http://localhost:{args.airflow_port}   (no login needed)\n"
            f"  FDI emulator   {scene.emulator.url}\n"
            f"  DAGs           {args.dags}\n"
            f"  logs, data     {FOLDER}\n\n"
            "Trigger a DAG to see it run; all of them can run at the same time. You can view, change and\n"
            "test the connection fdi_default. Press Ctrl-C to stop.\n",
            flush=True,
        )
        while True:
            scene.stack.check_alive()
            time.sleep(1)
    except KeyboardInterrupt:
        print()
        say("ending all processes")
    except (StackError, EmulatorError, flights.DataError) as error:
        print(f"\n{error}", file=sys.stderr)
        if isinstance(error, PortInUse):
            print('Example: make ui DEMO_ARGS="--airflow-port 8090 --emulator-port 8775"', file=sys.stderr)
        outcome = 1
    finally:
        scene.stop()
    say("all processes ended")
    return outcome


if __name__ == "__main__":
    sys.exit(main())
