//! Prints the answer of a model.

use async_openai::Client;
use async_openai::types::chat::{
    ChatCompletionRequestUserMessageArgs, CreateChatCompletionRequestArgs,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let message = ChatCompletionRequestUserMessageArgs::default()
        .content("Find bugs in /src")
        .build()?;
    let request = CreateChatCompletionRequestArgs::default()
        .model("my-model")
        .messages([message.into()])
        .build()?;
    let response = Client::new().chat().create(request).await?;
    println!("{:?}", response.choices[0].message.content);
    Ok(())
}
