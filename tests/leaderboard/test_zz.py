from pathlib import Path
from fer_bench.leaderboard.markdown import write_leaderboard
import time


def test_look(store, add, full):
    add("gcn", "oulu", changes={"method": {"lr": 0.001}})
    add("gcn", "mmi", status="diverged", seed=1)
    p = store.run_dir("gcn", "mmi", "dead").record_file
    p.parent.mkdir(parents=True)
    p.write_text("{")
    t = time.time()
    write_leaderboard(store, Path("/tmp/board"))
    print(time.time() - t)
