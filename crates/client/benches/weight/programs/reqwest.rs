//! Prints a value of a document.

#[tokio::main]
async fn main() -> Result<(), reqwest::Error> {
    let client = reqwest::Client::new();
    let request = client.post("https://relay.an.dev/v1/sandboxes");
    let response = request.bearer_auth("key").json(&"body").send().await?;
    let document: serde_json::Value = response.json().await?;
    println!("{}", document["id"]);
    Ok(())
}
