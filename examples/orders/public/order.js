const form = document.getElementById("order");

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const { customer, sku, quantity } = Object.fromEntries(new FormData(form));
  const output = form.querySelector("output");
  try {
    const response = await fetch("/orders", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ customer, items: [{ sku, quantity: Number(quantity) }] }),
    });
    const answer = await response.json();
    output.textContent = response.ok
      ? `Thank you: order ${answer.id}, ${(answer.total_cents / 100).toFixed(2)} (${answer.checkout}).`
      : (answer.errors ?? []).map((e) => `${e.field} ${e.message}`).join(", ") || answer.detail || answer.title;
  } catch {
    output.textContent = "The shop cannot be reached. Please try again.";
  }
});
