"""A worker as RunPod runs it: their SDK as it is, our entry as it is, and the tool `nap` beside the others."""

from gpu_handlers.entry import main
from tests import nap  # noqa: F401 - it adds the tool

if __name__ == "__main__":
    main()
