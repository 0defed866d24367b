"""What the steps need: the fake vault's controls, and how a step is declared."""

import asyncio
import json
import os
import warnings

import httpx
from alter_sdk import App
from alter_sdk.exceptions import AlterSDKError

# It says that localhost is not https.
warnings.simplefilter("ignore")

WHERE = json.loads(os.environ["ALTERVAULT"])
PROVIDER = WHERE["provider_url"]
AGENT = WHERE["agent_id"]
STEPS = []

control = httpx.Client(base_url=WHERE["base_url"], timeout=30)


def ask(path, /, **body):
    """Calls a control of the fake."""
    answer = control.post("/_fake/" + path, json=body)
    answer.raise_for_status()
    return answer.json()


def look(path):
    answer = control.get("/_fake/" + path)
    answer.raise_for_status()
    return answer.json()


def grant(person="alice", provider="google", **more):
    return ask("grant", person=person, provider=provider, **more)


def token(person="alice", ttl=3600):
    return ask("user-token", person=person, ttl_seconds=ttl)["token"]


async def settle(calls):
    """Waits until the step's calls, reports in the background included, came;
    in a thread, so that the client can send them."""
    answer = await asyncio.to_thread(control.get, "/_fake/wait", params={"calls": calls})
    answer.raise_for_status()


def app(person="alice", **more):
    """A client as a server has it, with the person's token; None: without."""
    getter = (lambda: token(person)) if person else None
    return App(api_key=WHERE["api_key"], user_token_getter=getter, **more)


def step(name, calls, person="alice", **settings):
    """Declares a step: a function of an App that returns its outcome. So many
    calls of the vault must come of it."""

    def declare(function):
        async def run():
            ask("step", name=name)
            client = app(person, **settings)
            try:
                outcome = await function(client)
            except AlterSDKError as e:
                outcome = failure(e)
            try:
                await settle(calls)
            except httpx.HTTPStatusError as e:
                raise RuntimeError(f"{calls} calls expected; outcome {outcome}") from e
            finally:
                await client.close()
            return outcome

        STEPS.append((name, run))
        return function

    return declare


def failure(e):
    """An error's class and those of its fields that say what to do."""
    told = {"error": type(e).__name__}
    for name in ("status_code", "retry_after", "missing_scopes", "max_session_age_seconds", "account_identifiers", "scope"):
        if getattr(e, name, None) not in (None, []):
            told[name] = getattr(e, name)
    if code := e.details.get("error"):
        told["code"] = code
    return told


async def outcome_of(awaitable):
    try:
        return await awaitable
    except AlterSDKError as e:
        return failure(e)


def answer(response):
    """A provider's answer, of both modes."""
    if hasattr(response, "body_json"):
        return {"status": response.status_code, "body": response.body_json()}
    return {"status": response.status_code, "body": response.json()}
