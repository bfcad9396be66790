"use strict";
{
  const form = document.querySelector("form");
  const said = document.getElementById("said");
  const button = form.querySelector("button");
  const label = button.textContent;
  const encoder = new TextEncoder();
  const submission = crypto.randomUUID();

  const fields = () => [...form.querySelectorAll("[data-type]")].map((element) => ({ element, key: element.getAttribute("name") }));

  const zeroBits = (bytes) => {
    let bits = 0;
    for (const byte of bytes) {
      if (byte !== 0) return bits + Math.clz32(byte) - 24;
      bits += 8;
    }
    return bits;
  };

  const solve = async ({ token, difficulty }) => {
    for (let number = 0; ; number += 1) {
      const digest = await crypto.subtle.digest("SHA-256", encoder.encode(`${token}.${number}`));
      if (zeroBits(new Uint8Array(digest)) >= difficulty) return String(number);
    }
  };

  const answer = (element) => {
    switch (element.dataset.type) {
      case "boolean":
        return element.checked;
      case "choices": {
        const chosen = [...element.querySelectorAll(":checked")].map((box) => box.value);
        return chosen.length ? chosen : null;
      }
      case "number":
        return element.value === "" ? null : element.valueAsNumber;
      default:
        return element.value.trim() === "" ? null : element.value;
    }
  };

  const mark = (element, message) => {
    const error = document.getElementById(`${element.id}-error`);
    error.textContent = message;
    error.hidden = !message;
    element.setAttribute("aria-invalid", message ? "true" : "false");
  };

  const say = (message, role) => {
    said.setAttribute("role", role);
    said.textContent = message;
    said.hidden = !message;
  };

  const wrong = (elements) => {
    say(form.dataset.check, "alert");
    elements[0].focus();
  };

  const misfits = () => fields().flatMap(({ element }) => {
    const missing = "required" in element.dataset && answer(element) === null;
    const message = missing ? form.dataset.wrong : element.validationMessage || "";
    mark(element, message);
    return message ? [element] : [];
  });

  const read = async () => {
    const response = await fetch(form.dataset.form, { headers: { Accept: "application/json" }, cache: "no-store" });
    if (!response.ok) throw new Error(response.status);
    return response.json();
  };

  const send = async () => {
    const answers = Object.fromEntries(fields().map(({ element, key }) => [key, answer(element)]));
    const { challenge } = await read();
    const body = { submission_id: submission, answers, homepage: form.querySelector("[data-trap]").value };
    if (challenge) Object.assign(body, { challenge: challenge.token, proof: await solve(challenge) });
    const response = await fetch(`${form.dataset.form}/submissions`, {
      method: "POST",
      headers: { "Content-Type": "application/json", Accept: "application/json" },
      body: JSON.stringify(body),
    });
    const told = await response.json();
    if (response.ok) {
      form.remove();
      say(told.thanks, "status");
      said.focus();
      return;
    }
    const pointers = new Set((told.errors || []).map((error) => error.pointer.split("/")[2]));
    const elements = fields().filter(({ key }) => pointers.has(key)).map(({ element }) => element);
    elements.forEach((element) => mark(element, form.dataset.wrong));
    if (elements.length) wrong(elements);
    else say(form.dataset.busy, "alert");
  };

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const elements = misfits();
    if (elements.length) return wrong(elements);
    button.disabled = true;
    button.textContent = form.dataset.working;
    say("", "status");
    try {
      await send();
    } catch {
      say(form.dataset.busy, "alert");
    } finally {
      button.disabled = false;
      button.textContent = label;
    }
  });
}
