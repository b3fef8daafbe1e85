"use strict";

/* The pages of a change: one-click values, instants in UTC, and a page that stays live. */
(() => {
    function fillFrom(button) {
        const field = document.getElementById(button.closest("[data-fills]").dataset.fills);
        field.value = button.dataset.value;
        field.dispatchEvent(new Event("input", {bubbles: true}));
        field.focus();
    }

    /* The instant (milliseconds) of a wall time in a zone: guess, then mend by the zone's offset. */
    function instantOf(wall, zone) {
        const guess = Date.parse(`${wall}Z`);
        const shown = (instant) => {
            const parts = new Intl.DateTimeFormat("sv-SE", {
                timeZone: zone, dateStyle: "short", timeStyle: "medium",
            }).format(instant);
            return Date.parse(`${parts.replace(" ", "T")}Z`);
        };
        let instant = guess - (shown(guess) - guess);
        instant = guess - (shown(instant) - instant);
        return instant;
    }

    function echoUtc(field) {
        const echo = document.getElementById(`${field.id}_utc`);
        try {
            const instant = field.value ? instantOf(field.value, field.dataset.zone) : NaN;
            const utc = Number.isNaN(instant) ? "" : new Date(instant).toISOString().slice(0, 16);
            echo.textContent = utc
                ? `${field.dataset.zone}; ${utc.replace("T", " ")} UTC`
                : `in ${field.dataset.zone}`;
        } catch {
            echo.textContent = `in ${field.dataset.zone}`;
        }
    }

    function prepare(root) {
        for (const choices of root.querySelectorAll("[data-fills]")) {
            choices.hidden = false;
        }
        for (const field of root.querySelectorAll("[data-instant]")) {
            const echo = document.createElement("span");
            echo.id = `${field.id}_utc`;
            echo.className = "quiet-note utc";
            field.after(echo);
            echoUtc(field);
        }
    }

    document.addEventListener("click", (event) => {
        const button = event.target.closest("[data-fills] button");
        if (button) {
            fillFrom(button);
        }
    });
    document.addEventListener("input", (event) => {
        if (event.target.matches("[data-instant]")) {
            echoUtc(event.target);
        }
    });
    /* A second click of the same button changes nothing; it only would show a message. */
    document.addEventListener("submit", (event) => {
        if (event.target.method !== "post") {
            return;
        }
        if (event.target.dataset.sent) {
            event.preventDefault();
            return;
        }
        event.target.dataset.sent = "yes";
    });
    window.addEventListener("pageshow", () => {
        for (const form of document.querySelectorAll("form[data-sent]")) {
            delete form.dataset.sent;
        }
    });
    prepare(document);

    const live = document.getElementById("live");
    if (!live || !Number(live.dataset.poll)) {
        return;
    }
    const HIDDEN_MS = 15000;
    const FAILED_MS = 5000;
    const announcement = document.getElementById("announcement");
    const shown = new Map();
    let wait = Number(live.dataset.poll);
    let timer = 0;

    /* Controls that the reader is about to use stay where they are, until it is over. */
    function renew(name, html, over) {
        const part = document.querySelector(`[data-live="${name}"]`);
        if (!part || shown.get(name) === html) {
            return;
        }
        const inUse = part.contains(document.activeElement) && document.activeElement !== part;
        if (inUse && !over && name === "controls") {
            return;
        }
        shown.set(name, html);
        part.innerHTML = html;
        prepare(part);
        if (inUse && name === "controls") {
            document.getElementById("change-title").focus();
        }
    }

    function withoutToken(html) {
        return html.replace(/name="csrfmiddlewaretoken" value="[^"]*"/g, "");
    }

    const tokens = new Map();
    function take(state) {
        document.title = document.title.replace(/^.*(?= \| )/, () => state.page_title);
        for (const [name, html] of Object.entries(state.fragments)) {
            // The token against forged requests is masked anew each time: no change to see.
            const plain = withoutToken(html);
            if (tokens.get(name) !== plain) {
                tokens.set(name, plain);
                renew(name, html, !state.poll_ms);
            }
        }
        if (announcement.textContent !== state.headline) {
            announcement.textContent = state.headline;
        }
        wait = state.poll_ms;
    }

    async function poll() {
        try {
            const answer = await fetch(live.dataset.stateUrl + window.location.search, {
                headers: {Accept: "application/json"}, credentials: "same-origin", redirect: "error",
            });
            if (!answer.ok) {
                throw new Error(answer.status);
            }
            take(await answer.json());
        } catch {
            wait = FAILED_MS;
        }
        plan();
    }

    function plan() {
        clearTimeout(timer);
        if (wait) {
            timer = setTimeout(poll, document.hidden ? HIDDEN_MS : wait);
        }
    }

    document.addEventListener("visibilitychange", () => {
        if (!document.hidden && wait) {
            clearTimeout(timer);
            poll();
        }
    });
    plan();
})();
