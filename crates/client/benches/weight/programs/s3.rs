//! Prints a stored text.

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let client = aws_sdk_s3::Client::new(&aws_config::load_from_env().await);
    let object = client.get_object().bucket("bucket").key("key");
    let text = object.send().await?.body.collect().await?.into_bytes();
    println!("{}", String::from_utf8_lossy(&text));
    Ok(())
}
