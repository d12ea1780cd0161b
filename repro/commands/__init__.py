"""The commands of `repro`, by theme. Each imports what it needs itself, when it is called, so that
`repro --help` stays quick; `repro.cli` lists them all."""
