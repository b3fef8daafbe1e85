"use strict";

/* A value that is typed chooses what it belongs to; the request counts are fetched on view. */
(() => {
    document.addEventListener("input", (event) => {
        const value = event.target.closest("[data-chooses]");
        if (value && event.target.value) {
            document.getElementById(value.dataset.chooses).checked = true;
        }
    });

    const place = document.getElementById("request-counts");
    if (!place || place.querySelector("table, .flag")) {
        return;
    }
    const asking = document.createElement("p");
    asking.className = "quiet-note";
    asking.textContent = "Asking the vendor…";
    place.replaceChildren(asking);

    async function ask() {
        try {
            const answer = await fetch(place.dataset.address, {
                headers: {Accept: "application/json"}, credentials: "same-origin", redirect: "error",
            });
            if (!answer.ok && answer.status !== 429) {
                throw new Error(answer.status);
            }
            place.innerHTML = (await answer.json()).html;
        } catch {
            asking.textContent = "The counts could not be loaded. Reload the page to try again.";
        }
    }
    ask();
})();
