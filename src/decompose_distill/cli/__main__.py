"""`python -m decompose_distill.cli`."""

from decompose_distill.cli import main

if __name__ == "__main__":
    main()
