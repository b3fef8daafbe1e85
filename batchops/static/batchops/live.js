"use strict";

/* Keeps the parts of a page up to date: a request every few seconds while the page is looked at,
   none while it is hidden. What the reader has ticked, opened or has the focus in stays. */
(() => {
    const EVERY_MS = 4000;
    const AT_MOST_MS = 60000;
    const SILENT_AFTER = 2;

    const parts = Array.from(document.querySelectorAll("[data-part]"));
    if (!parts.length) {
        return;
    }
    let timer = 0;
    let failures = 0;
    let etag = "";
    let since = new Date();
    let asking = false;

    /* What tells a child from its siblings wherever it moves: its id, its box, its first link. */
    function keyOf(node) {
        if (node.nodeType !== Node.ELEMENT_NODE) {
            return "";
        }
        const box = node.querySelector(":scope > td > input.action-select");
        const link = node.matches("tr, li") ? node.querySelector("a[href]") : null;
        return node.dataset.key || node.id || (box && box.value) || (link && link.getAttribute("href")) || "";
    }

    function isSame(old, fresh) {
        return old.nodeType === fresh.nodeType && old.nodeName === fresh.nodeName && keyOf(old) === keyOf(fresh);
    }

    function renewAttributes(old, fresh) {
        if (old.classList.contains("selected")) {
            fresh.classList.add("selected");
        }
        for (const {name} of Array.from(old.attributes)) {
            if (!fresh.hasAttribute(name) && name !== "open") {
                old.removeAttribute(name);
            }
        }
        for (const {name, value} of fresh.attributes) {
            if (old.getAttribute(name) !== value) {
                old.setAttribute(name, value);
            }
        }
    }

    function renewChildren(old, fresh) {
        const known = new Map();
        for (const child of old.childNodes) {
            const key = keyOf(child);
            if (key) {
                known.set(`${child.nodeName} ${key}`, child);
            }
        }
        let place = old.firstChild;
        for (const child of Array.from(fresh.childNodes)) {
            const name = `${child.nodeName} ${keyOf(child)}`;
            let match = known.get(name);
            known.delete(name);
            if (!match && place && !keyOf(child) && isSame(place, child)) {
                match = place;
            }
            if (!match) {
                old.insertBefore(child, place);
                continue;
            }
            if (match === place) {
                place = place.nextSibling;
            } else {
                old.insertBefore(match, place);
            }
            renew(match, child);
        }
        while (place) {
            const gone = place;
            place = place.nextSibling;
            gone.remove();
        }
    }

    /* Makes a node like another, and leaves alone what is typed, ticked or opened in it. */
    function renew(old, fresh) {
        if (old.isEqualNode(fresh)) {
            return;
        }
        if (old.nodeType !== Node.ELEMENT_NODE) {
            old.nodeValue = fresh.nodeValue;
        } else if (!old.matches("input, select, textarea")) {
            renewAttributes(old, fresh);
            renewChildren(old, fresh);
        }
    }

    const rowsOf = (part) => new Map(Array.from(part.querySelectorAll("tbody > tr"), (row) => [keyOf(row), row]));

    function isInUse(part) {
        return part.hasAttribute("data-hold") || part.matches(":hover, :focus-within")
            || part.querySelector("input:checked") !== null;
    }

    /* Rows do not move under the reader's hand: those that are there are renewed, and a line tells.
       Returns whether the part is now as the server shows it. */
    function renewRows(part, fresh) {
        const [shown, now] = [rowsOf(part), rowsOf(fresh)];
        const moved = Array.from(shown.keys()).join("\n") !== Array.from(now.keys()).join("\n");
        if (!moved || !isInUse(part)) {
            renewChildren(part, fresh);
            tell(part, false);
            return true;
        }
        for (const [key, row] of shown) {
            if (key && now.has(key)) {
                renew(row, now.get(key));
            }
        }
        tell(part, true);
        return false;
    }

    function tell(part, moved) {
        let note = part.previousElementSibling;
        if (!note || !note.matches(".live-moved")) {
            if (!moved) {
                return;
            }
            note = document.createElement("p");
            note.className = "live-moved quiet-note";
            note.setAttribute("role", "status");
            const link = document.createElement("a");
            link.href = window.location.href;
            link.textContent = "Show it as it is now";
            note.append("This list has changed since. ", link);
            part.before(note);
        }
        note.hidden = !moved;
    }

    function take(answer) {
        let complete = true;
        for (const part of parts) {
            const html = answer.parts[part.dataset.part];
            if (html === undefined) {
                continue;
            }
            const fresh = document.createElement("div");
            fresh.innerHTML = html;
            complete = renewRows(part, fresh) && complete;
            part.dispatchEvent(new CustomEvent("renewed", {bubbles: true}));
        }
        return complete;
    }

    /* A page that looks live and is not would be believed. */
    function say(silent) {
        let note = document.getElementById("live-silent");
        if (!note && silent) {
            note = document.createElement("p");
            note.id = "live-silent";
            note.className = "live-silent";
            note.setAttribute("role", "status");
            document.body.append(note);
        }
        if (note) {
            note.hidden = !silent;
            const clock = since.toLocaleTimeString("en-GB", {hour: "2-digit", minute: "2-digit"});
            note.textContent = `This page shows what was so at ${clock}: the server does not answer it now. Reload the page.`;
        }
    }

    async function ask() {
        asking = true;
        try {
            const answer = await fetch(window.location.href, {
                headers: {"X-Live": "parts", Accept: "application/json", ...(etag && {"If-None-Match": etag})},
                cache: "no-store", credentials: "same-origin", redirect: "error",
            });
            if (answer.status !== 304) {
                if (!answer.ok) {
                    throw new Error(answer.status);
                }
                // What is held back now is asked for again, though it will not have changed.
                etag = take(await answer.json()) ? answer.headers.get("ETag") || "" : "";
            }
            failures = 0;
            since = new Date();
        } catch {
            failures += 1;
        }
        asking = false;
        say(failures >= SILENT_AFTER);
        plan();
    }

    function plan() {
        clearTimeout(timer);
        if (!document.hidden) {
            timer = setTimeout(ask, Math.min(AT_MOST_MS, EVERY_MS * 2 ** failures));
        }
    }

    document.addEventListener("visibilitychange", () => {
        clearTimeout(timer);
        if (!document.hidden && !asking) {
            ask();
        }
    });
    plan();
})();
