"use strict";

/* Warns before a session ends for want of use, and keeps what was typed on the page. */
(() => {
    const box = document.getElementById("session-end");
    if (!box) {
        return;
    }
    const WARNED_SECONDS = 120;
    const ASKED_EVERY_MS = 60000;
    const words = box.querySelector("[data-words]");
    const button = box.querySelector("button");
    const way = box.querySelector("a");
    let end = performance.now() + Number(box.dataset.left) * 1000;
    let askedAt = 0;
    let isOver = false;

    const left = () => Math.max(0, Math.round((end - performance.now()) / 1000));

    function say(text) {
        if (words.textContent !== text) {
            words.textContent = text;
        }
    }

    function show() {
        const seconds = left();
        box.hidden = !isOver && seconds > WARNED_SECONDS;
        button.hidden = isOver;
        way.hidden = !isOver;
        if (isOver) {
            say("You were signed out. What you typed is still here: sign in again in another tab, then go on.");
        } else if (!box.hidden) {
            const minutes = Math.ceil(seconds / 60);
            say(`You will be signed out in about ${minutes} ${minutes === 1 ? "minute" : "minutes"}, since nothing was done here.`);
        }
    }

    /* A new sign-in has a new token against forged requests, which the forms here must send. */
    function renewTokens(token) {
        for (const field of document.querySelectorAll('input[name="csrfmiddlewaretoken"]')) {
            field.value = token;
        }
    }

    async function ask() {
        askedAt = performance.now();
        let answer;
        try {
            answer = await fetch(box.dataset.stateUrl, {
                headers: {Accept: "application/json"}, credentials: "same-origin", redirect: "manual",
            });
        } catch {
            // No answer says nothing about the session.
            return;
        }
        if (answer.type === "opaqueredirect") {
            isOver = true;
        } else if (answer.ok) {
            const state = await answer.json();
            if (state.who !== box.dataset.who) {
                isOver = true;
                say(`${state.who} is signed in now. Reload the page before you go on.`);
                box.hidden = false;
                button.hidden = true;
                return;
            }
            if (isOver) {
                renewTokens(state.token);
            }
            isOver = false;
            end = performance.now() + state.left * 1000;
        }
        show();
    }

    async function stay() {
        const token = document.querySelector('input[name="csrfmiddlewaretoken"]');
        try {
            await fetch(box.dataset.stayUrl, {
                method: "POST", credentials: "same-origin", redirect: "manual",
                headers: {"X-CSRFToken": token ? token.value : ""},
            });
        } catch {
            return;
        }
        await ask();
    }

    /* Another tab may have used the session meanwhile, so the server is asked before a warning. */
    function look() {
        const due = isOver ? !document.hidden : left() <= WARNED_SECONDS;
        if (due && performance.now() - askedAt >= ASKED_EVERY_MS / (isOver || left() < 5 ? 12 : 1)) {
            ask();
        } else if (!isOver) {
            show();
        }
    }

    button.addEventListener("click", stay);
    document.addEventListener("visibilitychange", () => {
        if (!document.hidden && (isOver || left() <= WARNED_SECONDS)) {
            ask();
        }
    });
    setInterval(look, 1000);
})();
