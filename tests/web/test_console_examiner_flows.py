"""Examiners look at two photos under one zoom in a real browser: together or apart, swapped, and under a curtain."""

from typing import Any

import pytest

from support.browser import Look, World, needs_browser, opened, sign_in, wait_until

pytestmark = [needs_browser, pytest.mark.nightly]


def at_candidate(look: Look, world: World, reference: str) -> None:
    """Have something to examine, and go to its first candidate."""
    world.staff.operator.searches(world.staff.operator.opens(reference), "cases", top_k=2)
    sign_in(look.open("/").page, world, "examiner")
    look.open("/examinations").page.locator("tbody a").last.click()
    look.heading("The probe first").page.locator("#probe_notes").fill("a mole")
    look.press("Keep the notes, and show the candidates").heading("Candidate 1 of 2")


def test_what_is_seen_is_chosen_without_scripts(browser: Any, console_world: World) -> None:
    with opened(browser, console_world.address, java_script_enabled=False) as look:
        at_candidate(look, console_world, "AZ bare")
        assert not look.page.locator("[data-flicker]").is_visible()  # what needs a script is not shown
        landmarks = look.page.locator(".landmarks")
        for wanted in (True, False):
            look.page.locator("[name=landmarks]").set_checked(wanted)
            assert [one.is_visible() for one in landmarks.all()] == [wanted] * 2
        beside = look.page.locator(".pane").last.bounding_box()
        look.page.locator("[value=right]").check()
        over = look.page.locator(".pane").last.bounding_box()
        assert over["width"] > 1.5 * beside["width"]
        look.page.locator("[name=zoom][value='4']").check()
        assert look.page.locator(".pane img").last.bounding_box()["width"] > 3 * over["width"]
        look.page.locator("[value=left]").check()
        look.page.locator(".stage > :last-child img").wait_for(state="hidden")


def test_both_photos_move_together_until_one_is_laid_over_the_other(look: Look, console_world: World) -> None:
    at_candidate(look, console_world, "AZ pan")
    for _ in range(3):
        look.page.keyboard.press("+")
    first, second = look.page.locator(".pane").first, look.page.locator(".pane").last

    def place(pane: Any) -> float:
        return float(pane.evaluate("one => one.scrollTop / one.scrollHeight"))

    wait_until(look.page, "document.querySelector('.pane').scrollTop > 0")
    start = place(second)
    assert start == pytest.approx(place(first), abs=0.02)
    first.evaluate("one => one.scrollBy(0, 60)")
    wait_until(
        look.page,
        "start => { const one = document.querySelectorAll('.pane')[1]; "
        "return one.scrollTop / one.scrollHeight > start + 0.005; }",
        arg=start,
    )
    assert place(second) == pytest.approx(place(first), abs=0.02)
    look.page.keyboard.press("l")
    kept = place(second)
    first.evaluate(
        "one => new Promise(done => { one.addEventListener('scroll', () => setTimeout(done), "
        "{ once: true }); one.scrollBy(0, -60); })"
    )
    assert place(second) == pytest.approx(kept, abs=0.001)
    assert place(first) < kept - 0.005


def test_a_swap_hides_nothing_and_is_never_a_flash(look: Look, console_world: World) -> None:
    at_candidate(look, console_world, "AZ swap")
    look.page.evaluate(
        """() => {
            window.swaps = [];
            const over = document.querySelector(".stage > :last-child");
            let before = getComputedStyle(over).visibility;
            const watch = () => {
                const now = getComputedStyle(over).visibility;
                if (now !== before) window.swaps.push(performance.now());
                before = now;
                requestAnimationFrame(watch);
            };
            watch();
        }"""
    )
    look.page.evaluate(
        """async () => {
            const end = performance.now() + 2000;
            while (performance.now() < end) {
                document.querySelector("[data-flicker]").click();
                await new Promise(requestAnimationFrame);
            }
        }"""
    )
    swaps = look.page.evaluate("window.swaps")
    # Each is seen with the next frame, and late on a busy machine: so a run of them counts, not a single gap.
    assert len(swaps) >= 4
    assert min(last - first for first, last in zip(swaps, swaps[3:], strict=False)) > 900, "three a second"
    assert look.page.locator(".pane").first.locator("img").is_visible()


def test_the_curtain_opens_where_the_slider_is(look: Look, console_world: World) -> None:
    at_candidate(look, console_world, "AZ curtain")
    assert not look.page.locator("#curtain").is_visible()
    look.page.keyboard.press("c")
    look.page.locator("#curtain").fill("20")
    shown = look.page.evaluate("getComputedStyle(document.querySelector('.stage > :last-child')).clipPath")
    assert "20%" in shown
