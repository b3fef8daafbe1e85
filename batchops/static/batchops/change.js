"use strict";

/* The pages of a change: one-click values, instants in UTC, and a page that stays live. */
(() => {
    function fillFrom(button) {
        const field = document.getElementById(button.closest("[data-fills]").dataset.fills);
        field.value = button.dataset.value;
        field.dispatchEvent(new Event("input", {bubbles: true}));
        const which = choiceOf(field);
        if (which && !which.hidden) {
            which.value = button.dataset.offset;
            echoUtc(field);
        }
        field.focus();
    }

    /* What clocks in a zone show at an instant (milliseconds), as if it were UTC. */
    function shownAt(instant, zone) {
        const parts = new Intl.DateTimeFormat("sv-SE", {
            timeZone: zone, dateStyle: "short", timeStyle: "medium",
        }).format(instant);
        return Date.parse(`${parts.replace(" ", "T")}Z`);
    }

    /* What was typed, "2027-01-31 08:00", as if it were UTC; NaN while it is no date and time. */
    function wallOf(text) {
        const typed = text.trim();
        return /^\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d)?$/.test(typed)
            ? Date.parse(`${typed.replace(" ", "T")}Z`) : NaN;
    }

    /* The browser's own calendar, for the day alone; the time stays, or is eight in the morning. */
    function chooseDay(button) {
        const field = document.getElementById(button.dataset.day);
        const picker = document.createElement("input");
        picker.type = "date";
        picker.className = "day-picker";
        picker.tabIndex = -1;
        picker.value = field.value.trim().slice(0, 10);
        picker.addEventListener("change", () => {
            const time = field.value.trim().slice(11) || "08:00";
            field.value = `${picker.value} ${time}`;
            field.dispatchEvent(new Event("input", {bubbles: true}));
            field.focus();
        });
        button.after(picker);
        picker.addEventListener("blur", () => picker.remove());
        picker.showPicker();
    }

    /* The instants (milliseconds) at which clocks in a zone show a time: one, none or two. */
    function instantsOf(wall, zone) {
        const day = 86400000;
        const found = [wall - day, wall + day]
            .map((near) => wall - (shownAt(near, zone) - near))
            .filter((instant) => shownAt(instant, zone) === wall);
        return Array.from(new Set(found)).sort((first, second) => first - second);
    }

    function choiceOf(field) {
        return field.parentElement.querySelector(`select[name="${field.name}_offset"]`);
    }

    const clock = (instant) => new Date(instant).toISOString().slice(0, 16).replace("T", " ");

    /* Offers the two instants of a time that comes twice; the server asks too, without a script. */
    function offer(which, wall, instants) {
        const offsets = instants.map((instant) => String((wall - instant) / 1000));
        if (offsets.join() === (which.dataset.offers || "")) {
            return;
        }
        which.dataset.offers = offsets.join();
        which.hidden = instants.length < 2;
        which.replaceChildren(new Option("Which of the two?", ""));
        if (!which.hidden) {
            instants.forEach((instant, place) => {
                which.add(new Option(`${place ? "second" : "first"} (${clock(instant)} UTC)`, offsets[place]));
            });
        }
    }

    function wordsFor(instants, which, wall) {
        if (!instants.length) {
            return "this time does not exist: the clocks go forward then";
        }
        if (instants.length === 1) {
            return `${clock(instants[0])} UTC`;
        }
        const meant = which && which.value !== ""
            ? instants.find((instant) => String((wall - instant) / 1000) === which.value)
            : undefined;
        return meant === undefined
            ? "this time comes twice: choose which is meant"
            : `${clock(meant)} UTC`;
    }

    function echoUtc(field) {
        const echo = document.getElementById(`${field.id}_utc`);
        const zone = field.dataset.zone;
        echo.textContent = `in ${zone}`;
        const wall = wallOf(field.value);
        const which = choiceOf(field);
        if (Number.isNaN(wall)) {
            if (which) {
                offer(which, wall, []);
            }
            return;
        }
        try {
            const instants = instantsOf(wall, zone);
            if (which) {
                offer(which, wall, instants);
            }
            echo.textContent = `${zone}; ${wordsFor(instants, which, wall)}`;
        } catch {
            // A zone that this browser does not know: the server says what it means.
        }
    }

    function prepare(root) {
        for (const choices of root.querySelectorAll("[data-fills]")) {
            choices.hidden = false;
        }
        for (const button of root.querySelectorAll("[data-day]")) {
            button.hidden = typeof HTMLInputElement.prototype.showPicker !== "function";
        }
        for (const field of root.querySelectorAll("[data-instant]")) {
            const which = choiceOf(field);
            if (which && !which.hidden) {
                which.dataset.offers = Array.from(which.options, (one) => one.value).slice(1).join();
            }
            const echo = document.createElement("span");
            echo.id = `${field.id}_utc`;
            echo.className = "quiet-note utc";
            (field.parentElement.querySelector(`[data-day="${field.id}"]`) || field).after(echo);
            echoUtc(field);
        }
    }

    document.addEventListener("click", (event) => {
        const day = event.target.closest("[data-day]");
        if (day) {
            chooseDay(day);
        }
        const button = event.target.closest("[data-fills] button");
        if (button) {
            fillFrom(button);
        }
    });
    document.addEventListener("input", (event) => {
        if (event.target.matches("[data-instant]")) {
            echoUtc(event.target);
        } else if (event.target.matches("[data-offset]")) {
            echoUtc(event.target.parentElement.querySelector("[data-instant]"));
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

    /* What an approver reads is what they approve: that it moved, the server says when they do. */
    function wouldMoveUnderReader(part, html) {
        const seen = part.querySelector('input[name="seen"]');
        return seen && html.includes('name="seen"') && !html.includes(`name="seen" value="${seen.value}"`);
    }

    /* Controls that the reader is about to use stay where they are, until it is over. */
    function renew(name, html, over) {
        const part = document.querySelector(`[data-live="${name}"]`);
        if (!part) {
            return true;
        }
        const inUse = part.contains(document.activeElement) && document.activeElement !== part;
        if (name === "controls" && !over && (inUse || wouldMoveUnderReader(part, html))) {
            return false;
        }
        part.innerHTML = html;
        prepare(part);
        if (inUse && name === "controls") {
            document.getElementById("change-title").focus();
        }
        return true;
    }

    function withoutToken(html) {
        return html.replace(/name="csrfmiddlewaretoken" value="[^"]*"/g, "");
    }

    function take(state) {
        document.title = document.title.replace(/^.*(?= \| )/, () => state.page_title);
        for (const [name, html] of Object.entries(state.fragments)) {
            // The token against forged requests is masked anew each time: no change to see.
            const plain = withoutToken(html);
            if (shown.get(name) !== plain && renew(name, html, !state.poll_ms)) {
                shown.set(name, plain);
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
