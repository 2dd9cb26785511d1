"""The contract's tests, against the containers: the original's document, and a copy of the original itself."""

from tests.integration.test_against_reference import (  # noqa: F401
    pair,
    test_batches,
    test_bytes_that_are_no_request,
    test_other_routes,
    test_single_texts,
)
from tests.integration.test_original_document import (  # noqa: F401
    test_a_batch,
    test_health,
    test_model_info,
    test_one_text,
    test_the_backends_own_code,
)
