"""`python -m decompose_distill`."""

from decompose_distill.cli import main

if __name__ == "__main__":
    main()
