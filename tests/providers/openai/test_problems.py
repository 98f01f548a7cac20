"""What went wrong, in Parley's words."""

import httpx2
import openai

from providers.openai.problems import of_status


def test_a_key_that_the_server_repeats_is_hidden() -> None:
    response = httpx2.Response(401, request=httpx2.Request("POST", "http://127.0.0.1/v1"))
    error = openai.APIStatusError("", response=response, body={"message": "unknown key sk-secret-1"})
    problem = of_status("openai", error, "OPENAI_API_KEY", "sk-secret-1")
    assert str(problem) == "openai: 401 unknown key ***: check OPENAI_API_KEY"
