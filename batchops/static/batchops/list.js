"use strict";

/* Many lines pasted into the search are a list of ids: they go to the page that takes lists. */
(() => {
    const search = document.getElementById("searchbar");
    const many = document.getElementById("paste-many");
    if (!search || !many) {
        return;
    }
    search.addEventListener("paste", (event) => {
        const text = event.clipboardData ? event.clipboardData.getData("text") : "";
        if (text.trim().includes("\n")) {
            event.preventDefault();
            many.elements.batch_ids.value = text;
            many.submit();
        }
    });
})();

/* How many batches each saved view finds, asked for once the page is there. */
(async () => {
    const place = document.querySelector("[data-view-counts]");
    if (!place) {
        return;
    }
    try {
        const answer = await fetch(place.dataset.viewCounts, {
            headers: {Accept: "application/json"}, credentials: "same-origin", redirect: "error",
        });
        const {counts} = await answer.json();
        for (const one of place.querySelectorAll("[data-view]")) {
            one.textContent = counts[one.dataset.view] || "";
        }
    } catch {
        // A view without its number is still a view.
    }
})();

/* What needs a selection says so, and waits for one. */
(() => {
    const form = document.getElementById("changelist-form");
    const needing = form ? Array.from(form.querySelectorAll(".needs-selection")) : [];
    if (!needing.length) {
        return;
    }
    const hint = form.querySelector(".selection-hint");
    const boxes = Array.from(form.querySelectorAll("input.action-select"));

    function refresh() {
        const none = !boxes.some((box) => box.checked);
        for (const one of needing) {
            one.disabled = none;
            one.title = none ? hint.textContent : "";
        }
        hint.hidden = !none;
    }

    // The admin's own script ticks further boxes without an event, before these hear of the first.
    form.addEventListener("click", refresh);
    form.addEventListener("change", refresh);
    window.addEventListener("pageshow", refresh);
    refresh();
})();

/* Single keys move, select and act; not while something is typed, and not where they are off. */
(() => {
    const help = document.getElementById("keys");
    const table = document.getElementById("result_list");
    const form = document.getElementById("changelist-form");
    if (!help || !form) {
        return;
    }
    const OFF = "batchops-keys-off";
    const on = document.getElementById("keys-on");
    const button = form.querySelector(".keys-button");
    const rows = table ? Array.from(table.tBodies[0].rows) : [];
    let at = -1;
    let last = -1;

    function isOff() {
        try {
            return localStorage.getItem(OFF) === "1";
        } catch {
            return false;
        }
    }

    function focusOf(row) {
        return row.querySelector("input.action-select") || row.querySelector("th a");
    }

    function move(step) {
        if (rows.length) {
            const focused = rows.findIndex((row) => row.contains(document.activeElement));
            at = Math.min(rows.length - 1, Math.max(0, (focused < 0 ? at : focused) + step));
            focusOf(rows[at]).focus();
            rows[at].scrollIntoView({block: "nearest"});
        }
    }

    function current() {
        return rows.findIndex((row) => row.contains(document.activeElement));
    }

    function boxOf(number) {
        return rows[number] && rows[number].querySelector("input.action-select");
    }

    function tick(number, value) {
        const box = boxOf(number);
        if (box && box.checked !== value) {
            box.click();
        }
    }

    function select(event) {
        const here = current();
        const box = boxOf(here);
        if (!box) {
            return;
        }
        const value = !box.checked;
        if (event.shiftKey && last >= 0) {
            for (let i = Math.min(here, last); i <= Math.max(here, last); i += 1) {
                tick(i, true);
            }
        } else {
            tick(here, value);
        }
        last = here;
    }

    function selectAll() {
        const toggle = document.getElementById("action-toggle");
        const every = form.querySelector(".question:not(.hidden) a");
        if (toggle && toggle.checked && every) {
            every.click();
        } else if (toggle && !toggle.checked) {
            toggle.click();
        }
    }

    function selectNothing() {
        const clear = form.querySelector(".clear:not(.hidden) a");
        const toggle = document.getElementById("action-toggle");
        if (clear) {
            clear.click();
        } else if (toggle) {
            toggle.checked = true;
            toggle.click();
        }
    }

    function pause() {
        const pauses = form.querySelector("button[name=action][value=pause]");
        if (pauses && !pauses.disabled) {
            pauses.click();
        }
    }

    const keys = {
        "/": () => document.getElementById("searchbar").focus(),
        "?": () => help.showModal(),
        j: () => move(1),
        k: () => move(-1),
        x: select,
        X: select,
        o: () => rows[current()] && rows[current()].querySelector("th a").click(),
        a: selectAll,
        u: selectNothing,
        p: pause,
    };

    document.addEventListener("keydown", (event) => {
        const typing = event.target.closest("input:not([type=checkbox]), select, textarea, dialog");
        const act = Object.hasOwn(keys, event.key) ? keys[event.key] : null;
        if (typing || !act || isOff() || event.ctrlKey || event.metaKey || event.altKey) {
            return;
        }
        event.preventDefault();
        act(event);
    });

    on.checked = !isOff();
    on.addEventListener("change", () => {
        try {
            localStorage.setItem(OFF, on.checked ? "0" : "1");
        } catch {
            // A browser that keeps nothing keeps the keys.
        }
    });
    if (button) {
        button.hidden = false;
        button.addEventListener("click", () => help.showModal());
    }
})();
