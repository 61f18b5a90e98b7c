"""What RunPod's Hub looks for; the entry itself is `python -m gpu_handlers.entry`."""

from gpu_handlers.entry import main

if __name__ == "__main__":
    main()
