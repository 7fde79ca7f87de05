"""The chat under load: the same chat on several libraries, under the same load. See benchmarks/README.md."""
