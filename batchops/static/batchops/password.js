"use strict";

/* A button beside each password that shows what was typed. */
(() => {
    for (const field of document.querySelectorAll('input[type="password"]')) {
        const button = document.createElement("button");
        button.type = "button";
        button.className = "plain-button show-password";
        button.textContent = "Show";
        button.setAttribute("aria-controls", field.id);
        button.setAttribute("aria-pressed", "false");
        button.setAttribute("aria-label", "Show what was typed");
        button.addEventListener("click", () => {
            const shows = field.type === "password";
            field.type = shows ? "text" : "password";
            button.textContent = shows ? "Hide" : "Show";
            button.setAttribute("aria-pressed", String(shows));
            field.focus();
        });
        field.after(button);
        // What is sent, or kept by the browser for "back", is a password again.
        if (field.form) {
            field.form.addEventListener("submit", () => {
                field.type = "password";
            });
        }
    }
})();
