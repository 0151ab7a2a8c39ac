"""What runs inside the sandbox (synth/verifiers/sandbox.py): standard library only, and no other module of Synth.

`main.py` is the command. In one sandbox it runs a program (`program.py`), in another one its tests (`tests.py`). They
share a socket (`wire.py`) and nothing else: the program sees arguments and never expected values, can't access the test
runner's memory, and can't fake a result by printing, patching or exiting. `cells.py` runs the cells of a notebook.

A check starts two of these processes, so each role imports its own modules only, and none imports `typing`, which takes
a tenth of a small program's time.
"""
